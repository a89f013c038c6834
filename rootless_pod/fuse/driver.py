"""What a storage driver is: a way to show read-only layers and one writable directory as one tree.

All of it runs as uid 0 of the user's namespace, inside its private mount namespace.
Directories named here exist before ``mount`` is called; the caller removes them after ``unmount``.
"""

from __future__ import annotations

from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol
else:
    Protocol = object

OVERFLOW_ID = 65534
"""What an id without a mapping is shown as. Source: /proc/sys/kernel/overflowuid's default."""


class ShiftRange(Frozen):
    """``size`` consecutive ids: in the container from ``container_id``, in the user's namespace from ``parent_id``."""

    container_id: int
    parent_id: int
    size: int


class IdShift(Frozen):
    """How a container's own user namespace (``--userns keep-id``) maps onto the user's namespace.

    Files in layers and in the upper directory are stored under *container* ids (as the image says),
    seen as ids of the user's namespace. The mounted tree shows a stored id ``container_id + n`` as
    ``parent_id + n``, so that inside the container it reads ``container_id + n`` again; what a process
    makes under parent id ``parent_id + n`` is stored as ``container_id + n``.
    """

    uids: tuple[ShiftRange, ...]
    gids: tuple[ShiftRange, ...]

    def shown_uid(self, stored: int) -> int:
        """Return the id in the user's namespace that a stored uid is shown as."""
        return _mapped(self.uids, stored, inverse=False)

    def shown_gid(self, stored: int) -> int:
        """Return the id in the user's namespace that a stored gid is shown as."""
        return _mapped(self.gids, stored, inverse=False)

    def stored_uid(self, shown: int) -> int:
        """Return the uid to store for a uid of the user's namespace; ``OVERFLOW_ID`` if it has none."""
        return _mapped(self.uids, shown, inverse=True)

    def stored_gid(self, shown: int) -> int:
        """Return the gid to store for a gid of the user's namespace; ``OVERFLOW_ID`` if it has none."""
        return _mapped(self.gids, shown, inverse=True)


def _mapped(ranges: tuple[ShiftRange, ...], number: int, *, inverse: bool) -> int:
    for part in ranges:
        start, target = (part.parent_id, part.container_id) if inverse else (part.container_id, part.parent_id)
        if start <= number < start + part.size:
            return target + number - start
    return OVERFLOW_ID


class RootfsRequest(Frozen):
    """One tree to mount.

    ``lower_dirs`` are in overlay order: the **top** layer first. ``upper`` and ``work`` lie on one file system.
    ``volatile``: the upper directory is thrown away after the container ends, so nothing needs to reach the disk.
    ``options`` are passed to the driver's own mount as they are (``key`` or ``key=value``).
    """

    container_dir: str
    merged: str
    upper: str
    work: str
    lower_dirs: tuple[str, ...]
    read_only: bool = False
    id_shift: IdShift | None = None
    volatile: bool = False
    options: tuple[str, ...] = ()


class MountedRootfs(Frozen):
    """What is mounted: ``path`` is the tree, the helper (if any) is named by pid and start time."""

    path: str
    helper_pid: int | None = None
    helper_started: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the value as a JSON object."""
        return self.as_dict()

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> MountedRootfs:
        """Read what ``to_json`` returned; other keys are ignored."""
        return cls(
            path=str(record["path"]),
            helper_pid=record.get("helper_pid"),
            helper_started=record.get("helper_started"),
        )


class StorageDriver(Protocol):
    """A driver; instances hold no state, so any process can unmount what another mounted."""

    name: str
    """What ``--storage-driver`` calls it."""
    shifts_ids: bool
    """Whether ``mount`` may be able to take ``id_shift``."""

    def mount(self, request: RootfsRequest) -> MountedRootfs:
        """Mount the tree at ``request.merged``; when this returns, it can be used.

        After a failure nothing is mounted and no helper runs.

        Raises:
            HostUnready: this machine can't do it.
            Refused: the kernel or the driver said no to this very request.
        """

    def unmount(self, request: RootfsRequest, mounted: MountedRootfs) -> None:
        """Take the tree away and end its helper; idempotent, also after the helper was killed."""

    def probe(self, scratch_dir: str, *, id_shift: bool = False) -> None:
        """Find out by doing whether the driver works with directories below ``scratch_dir`` (which exists, empty).

        Raises:
            HostUnready: it does not; the message says why, the remedy what to do.
        """
