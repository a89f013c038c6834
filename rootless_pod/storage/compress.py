"""Compressed streams, read and written: gzip (isal, else zlib), zstd (standard library or backport), plain.

What a stream is, is decided by its first bytes, not by its media type: registries hold layers whose type lies.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from rootless_pod.errors import Corrupt, HostUnready, RpodError
from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Readable(Protocol):
        """What a layer is read from: ``read(n)`` returns 1 to ``n`` bytes, or none at the end."""

        def read(self, size: int, /) -> bytes:
            """Return the next bytes."""

    class Compressor(Protocol):
        """What a layer is written through."""

        def compress(self, data: bytes | memoryview, /) -> bytes:
            """Take data and return what is ready."""

        def flush(self) -> bytes:
            """Return the rest."""


_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = tuple(bytes([low]) + b"\x2a\x4d\x18" for low in range(0x50, 0x60))
_FOREIGN_MAGIC = {b"\xfd7zXZ\0": "xz", b"BZh": "bzip2", b"\x04\x22\x4d\x18": "lz4"}
_CHUNK = 64 * 1024
_PIECE = 1024 * 1024


class BombLimits(Frozen):
    """When a small input that grows without end is taken for an attack.

    ``ratio`` counts from ``free_bytes`` of output on: any layer may be that big, however well it packs.
    """

    ratio: int = 300
    free_bytes: int = 1 << 30


class _Plain:
    """An uncompressed stream whose first bytes were looked at."""

    def __init__(self, first: bytes, stream: Readable) -> None:
        self._first = first
        self._stream = stream

    def read(self, size: int) -> bytes:
        if self._first:
            data, self._first = self._first[:size], self._first[size:]
            return data
        return self._stream.read(size)


class _Unpacked(ABC):
    """What both decompressors share: counting, the bomb limit, and members that follow one another."""

    name = ""

    def __init__(self, first: bytes, stream: Readable, limits: BombLimits) -> None:
        self._waiting = first
        self._stream = stream
        self._limits = limits
        self._consumed = len(first)
        self._produced = 0
        self._engine: Any = None
        self._ended = False
        self._spare = b""
        self._used = 0

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        if self._used >= len(self._spare):
            self._spare, self._used = self._next(), 0
        start = self._used
        self._used = min(start + size, len(self._spare))
        return self._spare if self._used - start == len(self._spare) else self._spare[start : self._used]

    def _next(self) -> bytes:
        while not self._ended:
            try:
                data = self._piece()
            except RpodError:
                raise  # of the reader below: the disk is full, the registry is gone
            except Exception as cause:  # each library has its own error class
                raise Corrupt(f"{self.name} stream is damaged: {cause}") from cause
            if data:
                self._count(data)
                return data
        return b""

    def _count(self, data: bytes) -> None:
        self._produced += len(data)
        limits = self._limits
        if self._produced > limits.free_bytes and self._produced > self._consumed * limits.ratio:
            raise Corrupt(
                f"{self.name} stream grew from {self._consumed} to {self._produced} bytes: it looks like a bomb",
                remedy="unpack it by hand if you trust it",
            )

    def _input(self) -> bytes:
        """Return bytes not fed yet, none at the end of the file."""
        data = self._waiting
        if data:
            self._waiting = b""
            return data
        data = self._stream.read(_CHUNK)
        self._consumed += len(data)
        return data

    @abstractmethod
    def _piece(self) -> bytes:
        """Return some bytes of the member being read."""

    def _start_member(self, starts: Callable[[bytes], bool]) -> bytes:
        """Return the first bytes of the next member, or none at the end (``_ended`` is set then).

        Zero bytes after a member are padding (tape blocks, some writers); anything else is damage.
        """
        data = self._input()
        while data and len(data) < 4:
            more = self._stream.read(_CHUNK)
            if not more:
                break
            self._consumed += len(more)
            data += more
        if not data:
            self._ended = True
            return b""
        if starts(data):
            return data
        if data.strip(b"\0"):
            raise Corrupt(f"{self.name} stream is followed by other bytes")
        return b""


def _gunzip_factory() -> Callable[[int], Any]:
    """Return the ``decompressobj`` of isal, which is twice as fast, or of zlib."""
    try:
        from isal import isal_zlib
    except ImportError:
        import zlib

        return zlib.decompressobj
    factory: Callable[[int], Any] = isal_zlib.decompressobj
    return factory


class _Gunzip(_Unpacked):
    name = "gzip"

    def __init__(self, first: bytes, stream: Readable, limits: BombLimits) -> None:
        super().__init__(first, stream, limits)
        self._new = _gunzip_factory()

    def _piece(self) -> bytes:
        if self._engine is None:
            data = self._start_member(lambda start: start.startswith(_GZIP_MAGIC))
            if not data:
                return b""
            self._engine = self._new(31)
        else:
            data = self._input()
            if not data:
                raise Corrupt("gzip stream is cut off")
        engine = self._engine
        # One chunk grows at most about a thousandfold: 64 MiB.
        out: bytes = engine.decompress(data)
        if engine.eof:
            self._waiting = engine.unused_data
            self._engine = None
        return out


class _Unzstd(_Unpacked):
    name = "zstd"

    def __init__(self, first: bytes, stream: Readable, limits: BombLimits) -> None:
        super().__init__(first, stream, limits)
        self._zstd = zstd_module()

    def _piece(self) -> bytes:
        data = b""
        if self._engine is None:
            data = self._start_member(lambda start: start.startswith((_ZSTD_MAGIC, *_ZSTD_SKIPPABLE)))
            if not data:
                return b""
            self._engine = self._zstd.ZstdDecompressor()
        elif self._engine.needs_input:
            data = self._input()
            if not data:
                raise Corrupt("zstd stream is cut off")
        engine = self._engine
        out: bytes = engine.decompress(data, _PIECE)
        if engine.eof:
            self._waiting = engine.unused_data
            self._engine = None
        return out


def zstd_module() -> Any:
    """Return the standard library's module for zstd, or the backport (raises HostUnready)."""
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        try:
            from backports import zstd
        except ImportError as cause:
            raise HostUnready(
                "this layer is packed with zstd, which this Python can't read",
                remedy="install the package backports.zstd into rpod's environment",
            ) from cause
    return zstd


def detect_compression(first: bytes) -> str:
    """Return ``gzip``, ``zstd`` or ``none`` for a stream that starts with ``first`` (at least 6 bytes, if it has them).

    Raises:
        Corrupt: it is packed in a way that no image may use.
    """
    if first.startswith(_GZIP_MAGIC):
        return "gzip"
    if first.startswith((_ZSTD_MAGIC, *_ZSTD_SKIPPABLE)):
        return "zstd"
    for magic, name in _FOREIGN_MAGIC.items():
        if first.startswith(magic):
            raise Corrupt(
                f"stream is packed with {name}, which image layers can't be", remedy=f"unpack it with {name} -d"
            )
    return "none"


def open_compressed(stream: Readable, media_type: str | None = None, *, limits: BombLimits | None = None) -> Readable:
    """Return a reader of what ``stream`` holds unpacked; the caller closes ``stream``.

    ``media_type`` is only named in errors. Damage shows as ``Corrupt`` from ``read``, at the latest at the end.

    Raises:
        Corrupt: the first bytes are those of a compression images don't use.
        HostUnready: it is zstd and there is no reader for it.
    """
    first = stream.read(_CHUNK)
    while 0 < len(first) < 6:
        more = stream.read(_CHUNK)
        if not more:
            break
        first += more
    try:
        found = detect_compression(first)
    except Corrupt as cause:
        raise Corrupt(f"{media_type or 'layer'}: {cause.message}", remedy=cause.remedy) from cause
    if found == "gzip":
        return _Gunzip(first, stream, limits or BombLimits())
    if found == "zstd":
        return _Unzstd(first, stream, limits or BombLimits())
    return _Plain(first, stream)


class _PlainCompressor:
    def compress(self, data: bytes | memoryview) -> bytes:
        return bytes(data)

    def flush(self) -> bytes:
        return b""


def new_compressor(kind: str, level: int | None = None) -> Compressor:
    """Return a compressor for ``gzip``, ``zstd`` or ``none``; the same input gives the same bytes on one machine.

    gzip uses zlib, whose output is smaller than isal's: what is written once is sent many times.

    Raises:
        HostUnready: zstd is wanted and there is no writer for it.
    """
    if kind == "gzip":
        import zlib

        return zlib.compressobj(6 if level is None else level, zlib.DEFLATED, 31)
    if kind == "zstd":
        compressor: Compressor = zstd_module().ZstdCompressor(level=3 if level is None else level)
        return compressor
    return _PlainCompressor()
