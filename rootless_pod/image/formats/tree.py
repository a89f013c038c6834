"""Named files of an image format, whether they lie in a directory or in a tar archive (compressed or not)."""

from __future__ import annotations

import os
import posixpath
import stat

from rootless_pod.errors import Corrupt, NotFound, Usage
from rootless_pod.image.layout import disk_error
from rootless_pod.storage import tar
from rootless_pod.storage.compress import open_compressed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Protocol

    from rootless_pod.storage.compress import Readable

    class Tree(Protocol):
        """Files by relative name."""

        shown: str

        def exists(self, name: str) -> bool:
            """Whether there is such a file."""

        def size(self, name: str) -> int:
            """Return its size (raises NotFound)."""

        def open(self, name: str) -> FileReader:
            """Open it (raises NotFound); forked children may open on their own."""


_SMALL_LIMIT = 16 << 20
_MAX_LINKS = 8
_MAX_MEMBERS = 200_000


class FileReader:
    """A part of an open file, read at its own position (several readers may share the descriptor)."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        """Own ``fd`` from now on."""
        self._fd = fd
        self._offset = offset
        self._left = size

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, nothing at the end of the part or of a file that was cut."""
        data = os.pread(self._fd, min(size, self._left), self._offset)
        self._offset += len(data)
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Close the descriptor; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_file(tree: Tree, name: str) -> bytes:
    """Return a small file.

    Raises:
        NotFound: it is not there.
        Corrupt: it is too large to be a document, or cut off.
    """
    size = tree.size(name)
    if size > _SMALL_LIMIT:
        raise Corrupt(f"{tree.shown}: {name} of {size} bytes is too large for a document")
    reader = tree.open(name)
    try:
        parts = []
        while part := reader.read(1 << 16):
            parts.append(part)
    finally:
        reader.close()
    data = b"".join(parts)
    if len(data) != size:
        raise Corrupt(f"{tree.shown}: {name} is cut off", remedy="export the image anew")
    return data


class DirectoryTree:
    """The files below a directory; names can't lead out of it."""

    def __init__(self, path: str) -> None:
        """Use ``path``.

        Raises:
            NotFound: it is no directory.
        """
        if not os.path.isdir(path):
            raise NotFound(f"no directory {path}", remedy="check the path", exit_code=125)
        self._root = path
        self.shown = path

    def _path(self, name: str) -> str:
        clean = posixpath.normpath(name)
        if clean.startswith(("/", "../")) or clean == "..":
            raise Corrupt(f"{self.shown}: {name!r} leads out of the directory")
        return f"{self._root}/{clean}"

    def exists(self, name: str) -> bool:
        """Whether there is such a regular file."""
        return os.path.isfile(self._path(name))

    def size(self, name: str) -> int:
        """Return its size."""
        try:
            found = os.stat(self._path(name))
        except OSError as cause:
            raise NotFound(f"{self.shown}: no file {name}", exit_code=125) from cause
        if not stat.S_ISREG(found.st_mode):
            raise Corrupt(f"{self.shown}: {name} is not a regular file")
        return found.st_size

    def open(self, name: str) -> FileReader:
        """Open it."""
        size = self.size(name)
        try:
            return FileReader(os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC), 0, size)
        except OSError as cause:
            raise NotFound(f"{self.shown}: cannot read {name}: {cause.strerror}", exit_code=125) from cause


class ArchiveTree:
    """The members of a tar archive, read where they lie; links inside the archive are followed.

    ``close`` gives back the descriptor, and with it a spooled copy, which has no name.
    """

    def __init__(self, file: BinaryIO, shown: str, *, spool_dir: str) -> None:
        """Index the archive; what is compressed or can't be read at any place is copied into ``spool_dir`` first.

        Raises:
            Corrupt: it is no tar archive, or cut off.
            HostUnready: no space for the copy.
        """
        self.shown = shown
        self._file = _seekable(file, shown, spool_dir)
        try:
            self._members = _index(self._file, shown)
        except BaseException:
            self._file.close()
            raise

    @property
    def names(self) -> tuple[str, ...]:
        """The members' names."""
        return tuple(self._members)

    def _member(self, name: str) -> tuple[int, int]:
        wanted = _clean(name)
        for _link in range(_MAX_LINKS):
            found = self._members.get(wanted)
            if found is None:
                break
            if not isinstance(found, str):
                return found
            wanted = found
        raise NotFound(f"{self.shown}: no file {name} in the archive", exit_code=125)

    def exists(self, name: str) -> bool:
        """Whether there is such a member."""
        try:
            self._member(name)
        except NotFound:
            return False
        return True

    def size(self, name: str) -> int:
        """Return its size."""
        return self._member(name)[1]

    def open(self, name: str) -> FileReader:
        """Open it."""
        offset, size = self._member(name)
        return FileReader(os.dup(self._file.fileno()), offset, size)

    def close(self) -> None:
        """Close the archive."""
        self._file.close()


def _clean(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")


def _seekable(file: BinaryIO, shown: str, spool_dir: str) -> BinaryIO:
    """Return ``file`` if it is a plain tar that can be read anywhere, else an unnamed decompressed copy."""
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        start = file.read(6)
        file.seek(0)
        if not start.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")) and not _known_foreign(start):
            return file
    try:
        source = _known_decompressor(file) or open_compressed(file)
        copy = _unnamed_file(spool_dir)
        try:
            while data := source.read(1 << 20):
                copy.write(data)
            copy.flush()
        except BaseException:
            copy.close()
            raise
    except (EOFError, ValueError, Corrupt) as cause:
        raise Corrupt(f"{shown} is cut off or damaged: {cause}", remedy="export or download it anew") from cause
    except OSError as cause:
        if cause.errno is None:
            raise Corrupt(f"{shown} is damaged: {cause}", remedy="export or download it anew") from cause
        raise disk_error(cause, f"cannot unpack {shown}", spool_dir) from cause
    finally:
        file.close()
    copy.seek(0)
    return copy


def _unnamed_file(directory: str) -> BinaryIO:
    """Return a file that vanishes with its descriptor; file systems without O_TMPFILE get a name for a moment."""
    try:
        fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        path = f"{directory}/.tmp-{os.urandom(8).hex()}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.unlink(path)
    return os.fdopen(fd, "w+b")


def _known_foreign(start: bytes) -> bool:
    return start.startswith((b"\xfd7zXZ\0", b"BZh"))


class _Xz:
    """Reads xz; damage is a ValueError, as with the others: the library's own error is of no family."""

    def __init__(self, file: BinaryIO) -> None:
        import lzma

        self._file = lzma.open(file)
        self._damage = lzma.LZMAError

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except self._damage as cause:
            raise ValueError(str(cause)) from cause


def _known_decompressor(file: BinaryIO) -> Readable | None:
    """Return a reader for xz and bzip2, which archives (not layers) come in."""
    start = file.peek(6)[:6] if hasattr(file, "peek") else b""
    if start.startswith(b"\xfd7zXZ\0"):
        return _Xz(file)
    if start.startswith(b"BZh"):
        import bz2

        return bz2.open(file)
    return None


def _index(file: BinaryIO, shown: str) -> dict[str, tuple[int, int] | str]:
    """Return where each member's bytes lie, or for a link the name it points at."""
    total = os.fstat(file.fileno()).st_size

    def skip(count: int) -> int:
        start = file.tell()
        return file.seek(min(start + count, total)) - start

    members: dict[str, tuple[int, int] | str] = {}
    reader = tar.TarReader(file, skip=skip)
    entries = 0
    try:
        while (entry := reader.next()) is not None:
            entries += 1
            if entries > _MAX_MEMBERS:
                raise Corrupt(f"it has more than {_MAX_MEMBERS} members")
            name = _clean(os.fsdecode(entry.name))
            if entry.kind == tar.REGULAR:
                if entry.sparse is not None:
                    raise Corrupt(f"{name} is stored as a sparse file")
                if reader.offset + entry.size > total:
                    raise Corrupt(f"it is cut off inside {name}")
                members[name] = (reader.offset, entry.size)
            elif entry.kind == tar.SYMLINK:
                members[name] = _clean(posixpath.join(posixpath.dirname(name), os.fsdecode(entry.link)))
            elif entry.kind == tar.HARD_LINK:
                members[name] = _clean(os.fsdecode(entry.link))
    except (Corrupt, OSError) as cause:
        raise Corrupt(f"{shown} is not a whole tar archive: {cause}", remedy="export or download it anew") from cause
    if not entries and not total:
        raise Corrupt(f"{shown} is an empty file", remedy="export or download it anew")
    return members


def open_archive(path: str, *, spool_dir: str) -> ArchiveTree:
    """Open the archive file ``path``.

    Raises:
        NotFound: it can't be read.
        Usage: it is a directory.
    """
    if os.path.isdir(path):
        raise Usage(f"{path} is a directory, not an archive", remedy=f"use oci:{path} or dir:{path}")
    try:
        file = open(path, "rb")
    except OSError as cause:
        raise NotFound(f"cannot read {path}: {cause.strerror}", remedy="check the path", exit_code=125) from cause
    return ArchiveTree(file, path, spool_dir=spool_dir)
