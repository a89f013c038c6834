"""Makes a layer's tar from an upper directory (whiteouts turned back into ``.wh.`` names) or from a whole tree.

Names come in sorted order and nothing of this machine goes in (no user names, no host labels), so the same tree
gives the same digest. Owners are those of the namespace this runs in, or what ``user.rootlesscontainers`` says.
"""

from __future__ import annotations

import os
import stat

from rootless_pod.errors import Corrupt
from rootless_pod.frozen import Frozen
from rootless_pod.fuse import whiteout
from rootless_pod.oci.digest import new_hash
from rootless_pod.storage import tar
from rootless_pod.storage.beneath import OPEN_DIRECTORY
from rootless_pod.storage.owners import layer_xattrs, read_owner
from rootless_pod.storage.tarwriter import TarWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = 1 << 20
_KINDS = {
    stat.S_IFREG: tar.REGULAR,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFIFO: tar.FIFO,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
}
_PLAIN_ROOT = (0o755, 0, 0)


class Selection(Frozen):
    """Which paths of a tree a layer takes (with the directories on the way), and which it takes away."""

    changed: frozenset[bytes]
    removed: tuple[bytes, ...] = ()


class DiffResult(Frozen):
    """The layer that was written: its diff ID, the length of the tar and the number of its entries."""

    diff_id: str
    size_bytes: int
    entries: int


def write_layer(
    write: Callable[[bytes], object],
    tree: str,
    *,
    is_upper: bool,
    whole_seconds: bool = False,
    owner: Callable[[int, int], tuple[int, int]] | None = None,
    selection: Selection | None = None,
) -> DiffResult:
    """Write the tar of ``tree`` through ``write``, uncompressed.

    With ``is_upper``, whiteouts and opaque directories become their ``.wh.`` names; without, a device 0/0 is a
    device. Sockets are left out. ``whole_seconds`` cuts the times, for those who compare layers made elsewhere.
    ``owner`` turns an owner as the tree stores it into the image's. ``selection`` narrows the layer to some paths.
    The tree may be in use: a file that shrinks meanwhile is filled up with zero bytes.

    Raises:
        OSError: something can't be read.
        Corrupt: the tree is deeper than a path may be long.
    """
    packing = _Packing(write, is_upper=is_upper, whole_seconds=whole_seconds, owner=owner, selection=selection)
    fd = os.open(tree, OPEN_DIRECTORY)
    try:
        packing.root(fd)
        packing.directory(fd)
        packing.removals()
    finally:
        os.close(fd)
    return packing.finish()


class _Packing:
    """The state of one ``write_layer``."""

    def __init__(
        self,
        write: Callable[[bytes], object],
        *,
        is_upper: bool,
        whole_seconds: bool,
        owner: Callable[[int, int], tuple[int, int]] | None,
        selection: Selection | None,
    ) -> None:
        self._sink = write
        self._owner = owner
        self._selection = selection
        self._hash = new_hash()
        self._size_bytes = 0
        self._entries = 0
        self._is_upper = is_upper
        self._whole_seconds = whole_seconds
        self._writer = TarWriter(self._write)
        self._linked: dict[tuple[int, int], bytes] = {}

    def _write(self, data: bytes) -> None:
        self._hash.update(data)
        self._size_bytes += len(data)
        self._sink(data)

    def finish(self) -> DiffResult:
        self._writer.finish()
        return DiffResult(
            diff_id=f"sha256:{self._hash.hexdigest()}", size_bytes=self._size_bytes, entries=self._entries
        )

    def root(self, fd: int) -> None:
        """Write an entry for the root only if it differs from what unpacking makes of none."""
        found = os.fstat(fd)
        owner = read_owner(fd) or self._owned(found)
        if (stat.S_IMODE(found.st_mode), *owner) != _PLAIN_ROOT or layer_xattrs(fd):
            self._add(b"./", found, fd)
        if self._is_upper and whiteout.is_opaque(fd):
            self._add_marker(whiteout.OPAQUE_NAME)

    def directory(self, top: int) -> None:
        """Write all below the open directory ``top``, which stays open; any depth, two descriptors at a time."""
        waiting = [(b"", name) for name in self._names(top, b"")]
        prefix, fd = b"", os.dup(top)
        try:
            while waiting:
                parent, name = waiting.pop()
                if parent != prefix:
                    os.close(fd)
                    prefix, fd = parent, -1
                    fd = _open_below(top, parent)
                path = parent + name
                if len(path) > 4096:
                    raise Corrupt(f"tree is too deep at {path[:80]!r}…")
                try:
                    found = os.lstat(name, dir_fd=fd)
                except FileNotFoundError:
                    continue
                if stat.S_ISDIR(found.st_mode):
                    waiting += self._enter(path + b"/", fd, name)
                else:
                    self._member(path, fd, name, found)
        finally:
            if fd >= 0:
                os.close(fd)

    def _names(self, fd: int, prefix: bytes) -> list[bytes]:
        names = sorted((os.fsencode(name) for name in os.listdir(fd)), reverse=True)
        if self._selection is not None:
            return [name for name in names if prefix + name in self._selection.changed]
        return names

    def removals(self) -> None:
        """Write the whiteouts of what the selection takes away."""
        for path in self._selection.removed if self._selection is not None else ():
            parent, slash, name = path.rpartition(b"/")
            self._add_marker(parent + slash + whiteout.PREFIX + name)

    def _enter(self, path: bytes, parent_fd: int, name: bytes) -> list[tuple[bytes, bytes]]:
        fd = os.open(name, OPEN_DIRECTORY, dir_fd=parent_fd)
        try:
            self._add(path, os.fstat(fd), fd)
            names = self._names(fd, path)
            if self._is_upper and whiteout.OPAQUE_NAME not in names and whiteout.is_opaque(fd):
                self._add_marker(path + whiteout.OPAQUE_NAME)
        finally:
            os.close(fd)
        return [(path, child) for child in names]

    def _member(self, path: bytes, dir_fd: int, name: bytes, found: os.stat_result) -> None:
        if self._is_upper and (
            whiteout.is_whiteout(found) or whiteout.hidden_name(name) or name == whiteout.OPAQUE_NAME
        ):
            parent, slash, _ = path.rpartition(b"/")
            hidden = name if name.startswith(whiteout.PREFIX) else whiteout.PREFIX + name
            self._add_marker(parent + slash + hidden)
        elif stat.S_ISREG(found.st_mode):
            self._file(path, dir_fd, name)
        elif stat.S_IFMT(found.st_mode) in _KINDS and not self._link(path, found):
            link = os.readlink(name, dir_fd=dir_fd) if stat.S_ISLNK(found.st_mode) else b""
            self._add(path, found, f"/proc/self/fd/{dir_fd}/".encode() + name, link=link)

    def _link(self, path: bytes, found: os.stat_result) -> bool:
        """Write a hard link if this file was written before under another name."""
        if found.st_nlink < 2:
            return False
        first = self._linked.setdefault((found.st_dev, found.st_ino), path)
        if first == path:
            return False
        entry = self._entry(path, found, tar.HARD_LINK, link=first)
        self._writer.add(entry)
        self._entries += 1
        return True

    def _file(self, path: bytes, dir_fd: int, name: bytes) -> None:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or self._link(path, found):
                return
            self._add(path, found, fd)
            left = found.st_size
            while left:
                data = os.read(fd, min(_PIECE, left)) or bytes(min(_PIECE, left))
                self._writer.data(data)
                left -= len(data)
            self._writer.pad(found.st_size)
        finally:
            os.close(fd)

    def _add(self, path: bytes, found: os.stat_result, target: int | bytes, *, link: bytes = b"") -> None:
        entry = self._entry(path, found, _KINDS[stat.S_IFMT(found.st_mode)], link=link)
        if isinstance(target, int):
            entry.uid, entry.gid = read_owner(target) or (entry.uid, entry.gid)
        entry.xattrs = layer_xattrs(target) or None
        if entry.kind == tar.REGULAR:
            entry.size = found.st_size
        self._writer.add(entry, device=(os.major(found.st_rdev), os.minor(found.st_rdev)))
        self._entries += 1

    def _entry(self, path: bytes, found: os.stat_result, kind: bytes, *, link: bytes) -> tar.Entry:
        entry = tar.Entry()
        entry.name, entry.link, entry.kind = path, link, kind
        entry.mode = stat.S_IMODE(found.st_mode)
        entry.uid, entry.gid = self._owned(found)
        entry.size = entry.stored_bytes = 0
        entry.mtime_ns = found.st_mtime_ns
        if self._whole_seconds:
            entry.mtime_ns -= entry.mtime_ns % 1_000_000_000
        entry.xattrs = entry.sparse = None
        return entry

    def _owned(self, found: os.stat_result) -> tuple[int, int]:
        return (found.st_uid, found.st_gid) if self._owner is None else self._owner(found.st_uid, found.st_gid)

    def _add_marker(self, path: bytes) -> None:
        entry = tar.Entry()
        entry.name, entry.link, entry.kind = path, b"", tar.REGULAR
        entry.mode = entry.uid = entry.gid = entry.size = entry.stored_bytes = entry.mtime_ns = 0
        entry.xattrs = entry.sparse = None
        self._writer.add(entry)
        self._entries += 1


def _open_below(top: int, path: bytes) -> int:
    """Open the directory ``path`` (ends with a slash, or is empty) below ``top``, no link followed."""
    fd = os.dup(top)
    for part in path.split(b"/")[:-1]:
        try:
            child = os.open(part, OPEN_DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        fd = child
    return fd
