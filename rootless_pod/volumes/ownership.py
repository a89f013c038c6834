"""The option ``U``: giving a volume's files to the container's user."""

from __future__ import annotations

import os

from rootless_pod.errors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless_pod.oci.runtime import ResolvedMount

# Source: podman, pkg/chown: directories nobody means to give away.
_TOP = ("bin", "boot", "dev", "etc", "home", "lib", "lib64", "opt", "proc", "root", "run", "sbin", "srv", "sys", "tmp")
_NEVER = frozenset(("/", "/usr", "/var", *(f"/{name}" for name in _TOP)))


def chown_sources(mounts: Iterable[ResolvedMount], owner: tuple[int, int], *, home: str = "") -> None:
    """Give the source of each mount with ``chown`` to ``owner`` (ids of the user's namespace), all below it included.

    Symbolic links themselves change owner, never what they point to; a file that has the owner is not touched.

    Raises:
        Refused: the source is a directory of the system or the whole home, or a file belongs to somebody else.
    """
    for mount in mounts:
        if not mount.chown or not mount.source.startswith("/"):
            continue
        if mount.source in _NEVER or (home and mount.source == home.rstrip("/")):
            raise Refused(f"chowning {mount.source} is not allowed", remedy="name a directory below it")
        _give(mount.source, owner)


def _give(path: str, owner: tuple[int, int]) -> None:
    try:
        _give_one(path, owner)
        if not os.path.isdir(path) or os.path.islink(path):
            return
        for _root, directories, files, fd in os.fwalk(path, follow_symlinks=False):
            for name in (*directories, *files):
                _give_one(name, owner, fd)
    except OSError as cause:
        raise Refused(
            f"cannot give {path} to the container's user: {cause.strerror}",
            remedy="leave out the option U, or use files of your own",
        ) from cause


def _give_one(path: str, owner: tuple[int, int], dir_fd: int | None = None) -> None:
    status = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    if (status.st_uid, status.st_gid) != owner:
        os.chown(path, *owner, dir_fd=dir_fd, follow_symlinks=False)
