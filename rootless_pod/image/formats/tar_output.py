"""A tar archive as it is written, one member after the other; in a plain file a member's size may follow its bytes."""

from __future__ import annotations

import fcntl
import os
import stat
import tarfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from rootless_pod.storage.compress import Readable

_BLOCK = tarfile.BLOCKSIZE
_PIECE = 1 << 20
# Sizes from here on need more than a header's octal digits.
_OCTAL_LIMIT = 8 << 30


def takes_sizes_later(output: BinaryIO) -> bool:
    """Tell whether ``output`` is a file whose headers can be written again: no pipe, and not opened to append."""
    try:
        fd = output.fileno()
        return stat.S_ISREG(os.fstat(fd).st_mode) and not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND
    except (OSError, ValueError):
        return False


class TarOutput:
    """Writes members without times or owners, so that equal images give equal archives."""

    def __init__(self, output: BinaryIO) -> None:
        """Write from where ``output`` is; the caller closes it."""
        self._output = output
        self._written = 0

    def _header(self, name: str, size: int, *, kind: bytes = tarfile.REGTYPE) -> bytes:
        entry = tarfile.TarInfo(name)
        entry.size, entry.type = size, kind
        entry.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
        return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")

    def _write(self, data: bytes) -> None:
        self._output.write(data)
        self._written += len(data)

    def add(self, name: str, reader: Readable, size: int) -> None:
        """Add ``size`` bytes of ``reader``, which has them (raises ValueError where it has not)."""
        self._write(self._header(name, size))
        left = size
        while left and (data := reader.read(min(left, _PIECE))):
            self._write(data)
            left -= len(data)
        if left:
            raise ValueError(f"{name} is {left} bytes shorter than it was")
        self._pad(size)

    def add_text(self, name: str, data: bytes) -> None:
        """Add a small file."""
        self._write(self._header(name, len(data)))
        self._write(data)
        self._pad(len(data))

    def add_unsized(self, name: str, reader: Readable) -> int:
        """Add all of ``reader`` and return how much it was; only where ``takes_sizes_later``."""
        at = self._output.tell()
        self._write(self._header(name, 0))
        size = 0
        while data := reader.read(_PIECE):
            self._write(data)
            size += len(data)
        self._pad(size)
        end = self._output.tell()
        self._output.seek(at)
        header = self._header(name, size)
        if size >= _OCTAL_LIMIT:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = size, 0o644
            header = entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        self._output.write(header)
        self._output.seek(end)
        return size

    def _pad(self, size: int) -> None:
        self._write(bytes(-size % _BLOCK))

    def end(self) -> None:
        """Write the end of the archive, padded as all tar programs do."""
        self._write(bytes(2 * _BLOCK))
        self._write(bytes(-self._written % tarfile.RECORDSIZE))
