"""Directories below one root, by descriptor: the one place where names from an archive become paths.

A symbolic link in the middle of a name is followed as if the root were ``/`` (what other tools get from chroot),
so a link planted by a layer leads to another place of the same layer and never out of it. Nobody but this process
may change the tree meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless_pod.errors import Corrupt
from rootless_pod.fuse.whiteout import is_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Open descriptors that are kept; the soft limit of a process is 1024.
_KEPT = 256
_KEPT_AT_MOST = 640
_LINKS_MAX = 40


def clean_name(name: bytes) -> bytes:
    """Return a member's name relative to the root, without ``.``, ``..`` and double slashes; ``b""`` is the root.

    An absolute name counts from the root of the layer, as with all other tools.

    Raises:
        Corrupt: ``..`` leads above the root.
    """
    if name[:2] == b"./":
        name = name[2:]
    if name[-1:] == b"/":
        name = name.rstrip(b"/")
    if name[:1] not in (b"/", b".", b"") and b"//" not in name and b"/." not in name:
        return name
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part in (b"", b"."):
            continue
        if part != b"..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            raise Corrupt(f"layer entry {name.decode(errors='backslashreplace')!r} leads out of the layer")
    return b"/".join(parts)


class Beneath:
    """Open directories of a tree, found by clean names. Close it when done."""

    def __init__(self, root: str, *, make: Callable[[bytes, int, bytes], None]) -> None:
        """Open ``root``. ``make(path, parent_fd, name)`` makes a directory that entries imply, over a whiteout too."""
        self.root_fd = os.open(root, OPEN_DIRECTORY)
        # Keyed by real paths (no links inside), so an entry stays true until a directory is removed.
        self.open: dict[bytes, int] = {b"": self.root_fd}
        self._make = make

    def close(self) -> None:
        """Close every descriptor."""
        self.forget()
        os.close(self.root_fd)

    def forget(self) -> None:
        """Close all but the root; needed when a directory has been removed."""
        for path, fd in self.open.items():
            if path:
                os.close(fd)
        self.open = {b"": self.root_fd}

    def _trim(self, keep: int) -> None:
        for path in list(self.open)[: len(self.open) - keep]:
            if path:
                os.close(self.open.pop(path))

    def parent(self, path: bytes) -> int:
        """Return the fd of directory ``path``, making what is missing; good until the next call.

        Raises:
            Corrupt: something that is no directory is in the way.
        """
        if len(self.open) > _KEPT:
            self._trim(_KEPT // 2)
        found = self.open.get(path)
        if found is None:
            found = self._walk(path, create=True)
            if found is None:
                raise Corrupt(f"a file is in the way of the directory {path.decode(errors='backslashreplace')!r}")
        return found

    def find(self, path: bytes) -> int | None:
        """Return the fd of directory ``path`` as ``parent`` does, or None if it is not there."""
        return self.open.get(path) or self._walk(path, create=False)

    def _walk(self, path: bytes, *, create: bool) -> int | None:
        waiting = path.split(b"/")[::-1]
        here, fd = b"", self.root_fd
        links = 0
        while waiting:
            name = waiting.pop()
            if name in (b"", b"."):
                continue
            if name == b"..":
                here = here.rpartition(b"/")[0]
                again = self.open.get(here) or self._walk(here, create=False)
                if again is None:
                    return None
                fd = again
                continue
            child = here + b"/" + name if here else name
            found = self.open.get(child) or self._enter(child, fd, name, create=create)
            if found is None:
                return None
            if isinstance(found, bytes):
                links += 1
                if links > _LINKS_MAX or len(waiting) > 4096:
                    raise Corrupt(f"too many symbolic links on the way to {path.decode(errors='backslashreplace')!r}")
                waiting += found.split(b"/")[::-1]
                if found.startswith(b"/"):
                    here, fd = b"", self.root_fd
                continue
            here, fd = child, found
        return fd

    def _enter(self, path: bytes, parent_fd: int, name: bytes, *, create: bool) -> int | bytes | None:
        """Open one directory; return its fd, the text of the link that is there, or None."""
        try:
            fd = os.open(name, OPEN_DIRECTORY, dir_fd=parent_fd)
        except FileNotFoundError:
            if not create:
                return None
            self._make(path, parent_fd, name)
            fd = os.open(name, OPEN_DIRECTORY, dir_fd=parent_fd)
        except OSError as refusal:
            if refusal.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            found = os.lstat(name, dir_fd=parent_fd)
            if stat.S_ISLNK(found.st_mode):
                return os.readlink(name, dir_fd=parent_fd)
            if not create or not is_whiteout(found):
                return None
            self._make(path, parent_fd, name)
            fd = os.open(name, OPEN_DIRECTORY, dir_fd=parent_fd)
        if len(self.open) >= _KEPT_AT_MOST:
            self._trim(_KEPT)
        self.open[path] = fd
        return fd
