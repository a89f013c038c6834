"""A layer of empty directories, owned by the user, between the host's own and the writable one.

The kernel lets nobody add to or remove from a directory of an owner that the user namespace does not
map (all of the host's root are such). Where the same directory exists in a layer above, its owner
counts: so ``/usr/bin`` can gain, lose and replace files although none of the host's is touched.
"""

from __future__ import annotations

import os
import stat

from rootless_pod.linux.tree import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

DEEPEST = {"/usr": 3, "/etc": 3, "/var": 3}
"""Levels below these; deeper ones stay as the host has them. Of any other directory, one level."""
MOST = 6000
"""Directories at most: a host with more gets the upper levels."""


def skeleton(place: str, sources: Iterable[str]) -> str | None:
    """Return the directory that holds the layer of each source (at its own path), made at ``place`` if missing.

    Kept for the boot. None where it can't be made (disk full): the tree works without, only less writable.
    """
    if os.path.isdir(place):
        return place
    staging = f"{place}.{os.urandom(6).hex()}"
    try:
        os.makedirs(staging, mode=0o755)
        left = MOST
        for source in sources:
            left -= _copy_directories(source, staging, left)
        try:
            os.rename(staging, place)
        except OSError:
            if not os.path.isdir(place):
                raise
            remove_tree(staging)  # another command was faster
    except OSError as error:
        from rootless_pod import log

        log.debug(f"cannot make {place}: {error}")
        _remove_quietly(staging)
        return None
    return place


def _remove_quietly(path: str) -> None:
    try:
        remove_tree(path)
    except OSError:
        pass


def _copy_directories(source: str, place: str, most: int) -> int:
    """Make ``source`` and the directories below it in ``place``, level by level; return how many."""
    device = os.lstat(source).st_dev
    os.makedirs(f"{place}{source}", exist_ok=True)
    made = [source]
    level = [source]
    for _depth in range(DEEPEST.get(source, 1)):
        below: list[str] = []
        for directory in level:
            for path in _subdirectories(directory, device):
                if len(made) >= most:
                    break
                os.mkdir(f"{place}{path}")
                made.append(path)
                below.append(path)
        level = below
    for path in reversed(made):
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            continue  # removed from the host in between
        os.chmod(f"{place}{path}", stat.S_IMODE(found.st_mode))
        os.utime(f"{place}{path}", ns=(found.st_atime_ns, found.st_mtime_ns))
    return len(made)


def _subdirectories(directory: str, device: int) -> list[str]:
    """Return the directories in ``directory`` that we may read, on the same file system."""
    try:
        with os.scandir(directory) as listing:
            found = [entry for entry in listing if entry.is_dir(follow_symlinks=False)]
        return [
            entry.path
            for entry in found
            if os.access(entry.path, os.R_OK | os.X_OK) and entry.stat(follow_symlinks=False).st_dev == device
        ]
    except OSError:
        return []
