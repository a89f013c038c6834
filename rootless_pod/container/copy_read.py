"""Reading what is copied: the members of a directory tree, or of a tar stream, one after the other.

A member is a ``tar.Entry`` (names relative to the place it is copied to) with its data. Directories come before what
is in them. A tree that changes meanwhile can make the walk miss a file, but never lead it elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless_pod import log
from rootless_pod.errors import Corrupt, RpodError
from rootless_pod.storage import tar
from rootless_pod.storage.owners import layer_xattrs, read_owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from rootless_pod.container.copy_tree import Ids

    class Content(Protocol):
        """The bytes of a regular file."""

        def chunks(self) -> Iterator[bytes | memoryview]:
            """Yield exactly as many bytes as the entry's size says."""

        def write_to(self, fd: int) -> None:
            """Write the whole file to the empty file ``fd``, holes kept."""


_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE = 1 << 20
_KINDS = {
    stat.S_IFREG: tar.REGULAR,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFIFO: tar.FIFO,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
}
# What the kernel makes up there has no end and no meaning elsewhere: such directories are copied empty.
_MADE_UP = frozenset({"proc", "sysfs", "cgroup", "cgroup2"})
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class Member:
    """One thing to copy; ``content`` is that of a regular file, ``device`` the numbers of a device node."""

    __slots__ = ("content", "device", "entry")

    def __init__(self, entry: tar.Entry, content: Content | None, device: tuple[int, int] = (0, 0)) -> None:
        """Hold the parts; the content is good until the next member is asked for."""
        self.entry = entry
        self.content = content
        self.device = device


class FileContent:
    """The content of an open file. A file of the kernel's making (``/proc``) has no size: it is read whole first."""

    def __init__(self, fd: int, size: int) -> None:
        """Take the file over for reading; the caller closes it."""
        self._fd = fd
        self._whole = b"" if size else _read_whole(fd)
        self.size = size or len(self._whole)

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield ``size`` bytes; a file cut short meanwhile is filled up with zeros."""
        if self._whole:
            yield self._whole
            return
        left = self.size
        while left:
            data = os.read(self._fd, min(_PIECE, left)) or bytes(min(_PIECE, left))
            left -= len(data)
            yield data

    def write_to(self, fd: int) -> None:
        """Write the file to ``fd``."""
        from rootless_pod.fuse.copy import copy_data

        if self._whole:
            _write_all(fd, self._whole)
        else:
            copy_data(self._fd, fd)


def _read_whole(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, _PIECE):
        parts.append(part)
    return b"".join(parts)


def _write_all(fd: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class TarContent:
    """The content of the entry a tar reader stands at."""

    def __init__(self, reader: tar.TarReader, entry: tar.Entry) -> None:
        """Read from ``reader``, which must not go on meanwhile."""
        self._reader, self._entry = reader, entry

    def _stored(self, count: int) -> Iterator[memoryview]:
        while count:
            data = self._reader.read(min(count, _PIECE))
            count -= len(data)
            yield data

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield the file, its holes as zeros."""
        position = 0
        for offset, length in self._entry.sparse or [(0, self._entry.size)]:
            if offset > position:
                yield bytes(offset - position)
            yield from self._stored(length)
            position = offset + length
        if position < self._entry.size:
            yield bytes(self._entry.size - position)

    def write_to(self, fd: int) -> None:
        """Write the file, its holes as holes."""
        for offset, length in self._entry.sparse or [(0, self._entry.size)]:
            os.lseek(fd, offset, os.SEEK_SET)
            for data in self._stored(length):
                _write_all(fd, data)
        os.ftruncate(fd, self._entry.size)


def open_source(fd: int, name: bytes) -> tuple[int, os.stat_result]:
    """Open for reading what ``fd`` (``O_PATH``) names and return that and its status; what is no data is only named.

    Raises:
        OSError: it may not be read; ``name`` goes with it.
    """
    found = os.fstat(fd)
    flags = os.O_DIRECTORY if stat.S_ISDIR(found.st_mode) else os.O_NONBLOCK if stat.S_ISREG(found.st_mode) else -1
    if flags < 0:
        return os.dup(fd), found
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC | flags), found
    except OSError as cause:
        raise OSError(cause.errno, cause.strerror, name) from cause


class TreeSource:
    """Members of one file or directory. ``skipped`` tells, at most once each, what could not be copied."""

    def __init__(self, fd: int, *, name: bytes, ids: Ids) -> None:
        """Walk what ``fd`` names and call it ``name``; with "" only the content of a directory is copied."""
        self._fd = fd
        self._name = name
        self._ids = ids
        self._linked: dict[tuple[int, int], bytes] = {}

    def members(self) -> Iterator[Member]:
        """Yield every member.

        Raises:
            OSError: a file can't be read; its name is that of the entry.
        """
        fd, found = open_source(self._fd, self._name or b".")
        try:
            if not stat.S_ISDIR(found.st_mode):
                yield self._member(fd, self._name, found)
                return
            if self._name:
                yield self._member(fd, self._name, found)
            yield from self._below(fd, self._name)
        finally:
            os.close(fd)

    def _below(self, top: int, path: bytes) -> Iterator[Member]:
        """Yield what is in the directory ``top``, depth first."""
        device = os.fstat(top).st_dev
        stack = [(top, path, _names(top))]
        try:
            while stack:
                directory, here, names = stack[-1]
                if not names:
                    stack.pop()
                    if stack:
                        os.close(directory)
                    continue
                name = names.pop()
                child = here + b"/" + name if here else name
                opened = self._open(directory, name, child)
                if opened is None:
                    continue
                fd, found = opened
                enter = False
                try:
                    yield self._member(fd, child, found)
                    enter = stat.S_ISDIR(found.st_mode) and not (found.st_dev != device and _is_made_up(fd))
                finally:
                    if not enter:
                        os.close(fd)
                if enter:
                    stack.append((fd, child, _names(fd)))
        finally:
            for directory, _path, _left in stack[1:]:
                os.close(directory)

    def _open(self, directory: int, name: bytes, path: bytes) -> tuple[int, os.stat_result] | None:
        """Open one name of a directory; None for a socket, or for what vanished meanwhile."""
        try:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISSOCK(found.st_mode):
                log.debug(f"not copied, a socket: {os.fsdecode(path)}")
                return None
            flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
            if stat.S_ISDIR(found.st_mode):
                flags = _DIRECTORY
            elif stat.S_ISREG(found.st_mode):
                flags = _FILE
            fd = os.open(name, flags, dir_fd=directory)
        except OSError as cause:
            if cause.errno in _GONE:
                return None
            raise OSError(cause.errno, cause.strerror, path) from cause
        found = os.fstat(fd)
        if stat.S_IFMT(found.st_mode) not in _KINDS:
            os.close(fd)
            return None
        return fd, found

    def _member(self, fd: int, path: bytes, found: os.stat_result) -> Member:
        entry = tar.Entry()
        entry.name, entry.link, entry.sparse = path, b"", None
        entry.kind = _KINDS[stat.S_IFMT(found.st_mode)]
        entry.mode = stat.S_IMODE(found.st_mode)
        entry.mtime_ns = found.st_mtime_ns
        entry.size = entry.stored_bytes = 0
        readable = entry.kind in (tar.REGULAR, tar.DIRECTORY)
        entry.uid, entry.gid = (read_owner(fd) if readable else None) or self._ids.to_theirs(found.st_uid, found.st_gid)
        entry.xattrs = (layer_xattrs(fd) or None) if readable else None
        if entry.kind == tar.SYMLINK:
            entry.link = os.fsencode(os.readlink("", dir_fd=fd))
        first = self._first_link(path, found)
        if first is not None:
            entry.kind, entry.link = tar.HARD_LINK, first
            return Member(entry, None)
        content = None
        if entry.kind == tar.REGULAR:
            content = FileContent(fd, found.st_size)
            entry.size = entry.stored_bytes = content.size
        return Member(entry, content, (os.major(found.st_rdev), os.minor(found.st_rdev)))

    def _first_link(self, path: bytes, found: os.stat_result) -> bytes | None:
        """Return the name this file was copied under before, if it was."""
        if found.st_nlink < 2 or stat.S_ISDIR(found.st_mode):
            return None
        first = self._linked.setdefault((found.st_dev, found.st_ino), path)
        return None if first == path else first


def _names(directory: int) -> list[bytes]:
    """Return the names in a directory, so that ``pop`` gives them in order."""
    return sorted((os.fsencode(name) for name in os.listdir(directory)), reverse=True)


def _is_made_up(fd: int) -> bool:
    from rootless_pod.linux.statfs import filesystem_type

    try:
        return filesystem_type(f"/proc/self/fd/{fd}") in _MADE_UP
    except OSError:
        return False


class TarSource:
    """Members of a tar stream, compressed or not, read from a descriptor."""

    def __init__(self, fd: int) -> None:
        """Read from ``fd``, which the caller closes."""
        self._fd = fd
        self._bytes = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes of the stream as it is."""
        data = os.read(self._fd, size)
        self._bytes += len(data)
        return data

    def members(self) -> Iterator[Member]:
        """Yield every member; names lose a leading ``/``.

        Raises:
            Corrupt: the stream is not a tar archive, is damaged, or leads out of the place it is copied to.
        """
        from rootless_pod.storage.beneath import clean_name
        from rootless_pod.storage.compress import open_compressed

        try:
            reader = tar.TarReader(open_compressed(self))
            while (entry := reader.next()) is not None:
                entry.name = clean_name(entry.name)
                if entry.kind == tar.HARD_LINK:
                    entry.link = clean_name(entry.link)
                content = TarContent(reader, entry) if entry.kind == tar.REGULAR else None
                yield Member(entry, content)
            reader.drain()
        except Corrupt as cause:
            raise self._not_an_archive(cause.message) from cause
        if not self._bytes:
            raise self._not_an_archive("it is empty")

    @staticmethod
    def _not_an_archive(why: str) -> RpodError:
        return Corrupt(
            f"standard input is not a usable tar archive: {why.replace('layer', 'archive')}",
            remedy="feed it one, for example: tar -cf - DIR | rpod cp - CONTAINER:PATH",
        )
