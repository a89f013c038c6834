"""The records of containers on disk. HOT.

``container.json`` is what was created, changed by rename and update alone; ``state.json`` is a claim, see status.
Reading needs no user namespace: every record belongs to the user.
"""

from __future__ import annotations

import os

from rootless_pod.errors import NotFound
from rootless_pod.state.lock import ObjectLock
from rootless_pod.state.record import read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.paths import Paths

_ID_LENGTH = 64
FOREGROUND = "foreground"
RENAMING = "renaming.json"
"""The file in a container's directory while ``rename`` is at work: then two names may lead to it."""


def is_id(name: str) -> bool:
    """Tell whether ``name`` has the form of an id (directories being removed have another)."""
    return len(name) == _ID_LENGTH and name.isalnum()


def container_ids(paths: Paths) -> list[str]:
    """Return the ids of every container that has a record, in no order."""
    try:
        names = os.listdir(paths.containers)
    except FileNotFoundError:
        return []
    return [name for name in names if is_id(name)]


def read_container(paths: Paths, container_id: str) -> dict[str, Any]:
    """Return the record made when the container was created.

    Raises:
        NotFound: it is not there (removed, or not complete yet).
        Corrupt: it is damaged.
    """
    try:
        return read_record(f"{paths.container(container_id)}/container.json")
    except NotFound as cause:
        raise no_such_container(container_id) from cause


def read_state(paths: Paths, container_id: str) -> dict[str, Any]:
    """Return the last claim about the container's state; empty where none was written yet."""
    try:
        return read_record(f"{paths.container(container_id)}/state.json")
    except NotFound:
        return {}


def write_state(paths: Paths, container_id: str, state: dict[str, Any]) -> None:
    """Replace the claim. A power cut may forget it: status is recomputed at each look anyway."""
    write_record(f"{paths.container(container_id)}/state.json", state)


def no_such_container(text: str) -> NotFound:
    """Return the error for a container that is not here."""
    return NotFound(f"no container with name or id {text!r}", remedy="see what is there: rpod ps -a")


class ContainerLock(ObjectLock):
    """A lock of one container; taking it for a container that is gone is ``NotFound``.

    ``lock`` guards its state; ``FOREGROUND`` is held by the command that stays with it and means to clean up itself.
    """

    def __init__(self, paths: Paths, container_id: str, name: str = "lock") -> None:
        """Name the lock file in the container's own directory."""
        super().__init__(paths.container(container_id), name, no_such_container)
