"""The records of pods on disk: ``pods/ID/pod.json`` and the names in ``names/pods``. HOT for containers of a pod.

Who is in a pod is not written here: every container says itself which pod it belongs to.
"""

from __future__ import annotations

import os

from rootless_pod.errors import NotFound
from rootless_pod.state.containers import is_id
from rootless_pod.state.lock import ObjectLock
from rootless_pod.state.record import read_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.paths import Paths

KIND = "pods"
SECOND = "second.json"
"""A second copy of the record, for the first one's loss: limits and the exit policy stand nowhere else."""
NO_SUCH_POD_EXIT_CODE = 1


def prepare(paths: Paths) -> None:
    """Make the directories of pods: a store that never had one lacks them."""
    for directory in (paths.pods, paths.names(KIND)):
        os.makedirs(directory, mode=0o700, exist_ok=True)


def pod_ids(paths: Paths) -> list[str]:
    """Return the ids of every pod, in no order; those half made or half removed too."""
    try:
        names = os.listdir(paths.pods)
    except FileNotFoundError:
        return []
    return [name for name in names if is_id(name)]


def read_pod(paths: Paths, pod_id: str, name: str = "pod.json") -> dict[str, Any]:
    """Return the record made when the pod was created (``name``: which of the two).

    Raises:
        NotFound: it is not there (removed, or not complete yet).
        Corrupt: it is damaged.
    """
    try:
        return read_record(f"{paths.pod(pod_id)}/{name}")
    except NotFound as cause:
        raise no_such_pod(pod_id) from cause


def no_such_pod(text: str) -> NotFound:
    """Return the error for a pod that is not here."""
    return NotFound(f"no pod with name or id {text!r}", remedy="see what is there: rpod pod ps")


class PodLock(ObjectLock):
    """The lock of one pod: ``shared`` while a container joins it, exclusive while it is made or removed.

    Taking it for a pod that is gone is ``NotFound``.
    """

    def __init__(self, paths: Paths, pod_id: str, *, shared: bool = False) -> None:
        """Name the lock file in the pod's own directory."""
        super().__init__(paths.pod(pod_id), "lock", no_such_pod, shared=shared)
