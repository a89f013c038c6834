"""Writes tar archives for layers: ustar headers, PAX records for what does not fit. Same input, same bytes."""

from __future__ import annotations

from rootless_pod.storage import tar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_OCTAL_8 = 0o7777777
_OCTAL_12 = 0o77777777777
_PAD = bytes(tar.BLOCK)


def _octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)


def _record(key: bytes, value: bytes) -> bytes:
    """Return one PAX record; its length counts its own digits."""
    body = len(key) + len(value) + 3
    length = body + len(str(body))
    while length != body + len(str(length)):
        length = body + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _time(mtime_ns: int) -> bytes:
    sign = b"-" if mtime_ns < 0 else b""
    seconds, fraction = divmod(abs(mtime_ns), 1_000_000_000)
    return b"%s%d.%s" % (sign, seconds, (b"%09d" % fraction).rstrip(b"0") or b"0")


class TarWriter:
    """Writes members in the order given; ``write`` takes every byte. Call ``finish`` at the end."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        """Write through ``write``."""
        self._write = write

    def add(self, entry: tar.Entry, *, device: tuple[int, int] = (0, 0)) -> None:
        """Write the headers of ``entry``; ``entry.size`` bytes of data must follow through ``data`` for a file."""
        records: dict[bytes, bytes] = {}
        name = self._fitting(entry.name, 100, b"path", records)
        link = self._fitting(entry.link, 100, b"linkpath", records)
        uid = self._number(entry.uid, _OCTAL_8, b"uid", records)
        gid = self._number(entry.gid, _OCTAL_8, b"gid", records)
        size = self._number(entry.size, _OCTAL_12, b"size", records)
        seconds, fraction = divmod(entry.mtime_ns, 1_000_000_000)
        if fraction or not 0 <= seconds <= _OCTAL_12:
            records[b"mtime"] = _time(entry.mtime_ns)
            seconds = min(max(seconds, 0), _OCTAL_12)
        for key, value in (entry.xattrs or {}).items():
            records[b"SCHILY.xattr." + key] = value
        if records:
            text = b"".join(_record(key, records[key]) for key in sorted(records))
            self._write(self._header(b"x", b"PaxHeaders.0/" + name[:80], b"", 0o644, (0, 0, len(text), 0), (0, 0)))
            self._write(text + _PAD[: -len(text) % tar.BLOCK])
        self._write(self._header(entry.kind, name, link, entry.mode, (uid, gid, size, seconds), device))

    @staticmethod
    def _fitting(text: bytes, width: int, key: bytes, records: dict[bytes, bytes]) -> bytes:
        if len(text) > width or not text.isascii():
            records[key] = text
        return text[:width]

    @staticmethod
    def _number(number: int, largest: int, key: bytes, records: dict[bytes, bytes]) -> int:
        if number <= largest:
            return number
        records[key] = b"%d" % number
        return 0

    @staticmethod
    def _header(
        kind: bytes, name: bytes, link: bytes, mode: int, numbers: tuple[int, int, int, int], device: tuple[int, int]
    ) -> bytes:
        uid, gid, size, seconds = numbers
        fields = [
            name.ljust(100, b"\0"),
            _octal(mode, 8),
            _octal(uid, 8),
            _octal(gid, 8),
            _octal(size, 12),
            _octal(seconds, 12),
            b"        ",
            kind,
            link.ljust(100, b"\0"),
            b"ustar\x0000",
            bytes(64),
            _octal(device[0], 8),
            _octal(device[1], 8),
            bytes(167),
        ]
        block = b"".join(fields)
        return block[:148] + b"%06o\0 " % sum(block) + block[156:]

    def data(self, chunk: bytes) -> None:
        """Write a part of a file's data."""
        self._write(chunk)

    def pad(self, size: int) -> None:
        """End a file of ``size`` bytes."""
        if size % tar.BLOCK:
            self._write(_PAD[: -size % tar.BLOCK])

    def finish(self) -> None:
        """Write the end of the archive."""
        self._write(_PAD * 2)
