"""A streaming tar reader: v7, ustar, PAX, GNU long names and numbers, sparse files of all four kinds.

Names are bytes. Twice as fast as ``tarfile``, because an entry is one small object and nothing is looked up
again. Global PAX headers are passed over, as every Go tool does: one reading of a layer for all tools.

Source: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format", "Storing Sparse Files".
"""

from __future__ import annotations

from rootless_pod.errors import Corrupt
from rootless_pod.storage.pax import (
    MAX_EXTENSION_BYTES,
    TIME_MAX,
    apply_records,
    parse_records,
    read_map_1_0,
    validate_map,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.storage.compress import Readable

BLOCK = 512
_ZERO_BLOCK = bytes(BLOCK)
_CHUNK = 1 << 18
_NAME_BYTES_MAX = 4096
_NUMBERS_KEPT = 4096

REGULAR = b"0"
HARD_LINK = b"1"
SYMLINK = b"2"
CHARACTER = b"3"
BLOCK_DEVICE = b"4"
DIRECTORY = b"5"
FIFO = b"6"
_CONTIGUOUS = b"7"
_GNU_SPARSE = b"S"
_HEADER_ONLY = frozenset({HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO})


class Entry:
    """One member. ``size`` is of the file as it will be, ``stored_bytes`` of its data in the archive."""

    __slots__ = (
        "gid",
        "kind",
        "link",
        "mode",
        "mtime_ns",
        "name",
        "size",
        "sparse",
        "stored_bytes",
        "uid",
        "xattrs",
    )

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    stored_bytes: int
    mtime_ns: int
    link: bytes
    xattrs: dict[bytes, bytes] | None
    sparse: list[tuple[int, int]] | None


def parse_number(field: bytes) -> int:
    """Return the number in a header field: octal text, or base-256 where the top bit is set.

    Raises:
        Corrupt: it is neither.
    """
    if field[0] & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        # The top bit marks the format; the next one is the sign.
        return value - (1 << bits) if field[0] & 0x40 else value - (1 << (bits - 1))
    text = field.partition(b"\0")[0].strip(b" ")
    if not text:
        return 0
    try:
        if text.isdigit():
            return int(text, 8)
    except ValueError:
        pass
    raise Corrupt(f"tar header holds {field!r} where a number belongs")


class _Numbers(dict[bytes, int]):
    """Fields parsed before: owners, modes and times repeat all through a layer."""

    def __missing__(self, field: bytes) -> int:
        if len(self) > _NUMBERS_KEPT:
            self.clear()
        value = self[field] = parse_number(field)
        return value


def _checksum_holds(header: bytes) -> bool:
    try:
        claimed = parse_number(header[148:156])
    except Corrupt:
        return False
    others = sum(header) - sum(header[148:156]) + 8 * 32
    if claimed == others:
        return True
    # Some old writers summed signed bytes.
    negative = sum(byte >= 0x80 for byte in header[:148]) + sum(byte >= 0x80 for byte in header[156:])
    return claimed == others - 256 * negative


class TarReader:
    """Reads entries in order from a stream of ``read(n)``; ``on_bytes`` sees every byte of it (for a digest).

    Where nobody wants the bytes, ``skip(n)`` passes over some without reading them and returns how many there were.
    """

    def __init__(
        self,
        stream: Readable,
        *,
        on_bytes: Callable[[bytes], object] | None = None,
        skip: Callable[[int], int] | None = None,
    ) -> None:
        """Start at the stream's first byte; the caller closes ``stream``."""
        self._read = stream.read
        self._on_bytes = on_bytes
        self._skip = skip
        self._buffer = b""
        self._position = 0
        self._pending = 0
        self._padding = 0
        self._numbers = _Numbers()
        self.bytes_read = 0

    def _fill(self, wanted: int) -> bool:
        """Have at least ``wanted`` bytes after the position; False where the stream ends before."""
        parts = [self._buffer[self._position :]]
        have = len(parts[0])
        while have < wanted:
            data = self._read(max(_CHUNK, wanted - have))
            if not data:
                break
            if self._on_bytes is not None:
                self._on_bytes(data)
            self.bytes_read += len(data)
            parts.append(data)
            have += len(data)
        # A big file arrives in whole chunks: no copy for those.
        self._buffer = parts[1] if len(parts) == 2 and not parts[0] else b"".join(parts)
        self._position = 0
        return have >= wanted

    def _take(self, count: int, what: str) -> bytes:
        if len(self._buffer) - self._position < count and not self._fill(count):
            raise Corrupt(f"tar is cut off in {what}")
        start = self._position
        self._position = start + count
        return self._buffer[start : start + count]

    def _discard(self, count: int) -> None:
        step = min(count, len(self._buffer) - self._position)
        self._position += step
        count -= step
        if count and self._skip is not None:
            self._buffer, self._position = b"", 0
            step = self._skip(count)
            self.bytes_read += step
            count -= step
        while count > 0:
            if not self._fill(1):
                raise Corrupt("tar is cut off in the data of an entry")
            step = min(len(self._buffer), count)
            self._position = step
            count -= step

    def next(self) -> Entry | None:
        """Return the next entry, or None at the end; data not read of the one before is passed over.

        Raises:
            Corrupt: the archive is damaged or holds what no layer may.
        """
        if self._pending or self._padding:
            self._discard(self._pending + self._padding)
            self._pending = self._padding = 0
        header = self._header()
        if header is None:
            return None
        if header[156:157] in b"0512":
            return self._finish(header, {}, None, None)
        return self._extended(header)

    def _header(self) -> bytes | None:
        start = self._position
        header = self._buffer[start : start + BLOCK]
        if len(header) == BLOCK:
            self._position = start + BLOCK
        elif self._fill(BLOCK):
            header = self._buffer[:BLOCK]
            self._position = BLOCK
        elif self._buffer:
            raise Corrupt("tar is cut off in a header")
        else:
            return None
        if header[0] == 0 and header == _ZERO_BLOCK:
            self._end()
            return None
        if not _checksum_holds(header):
            raise Corrupt(f"tar header has a wrong checksum (at byte {self.offset - BLOCK})")
        return header

    @property
    def offset(self) -> int:
        """How many bytes of the stream the entries and the data read so far have taken."""
        return self.bytes_read - (len(self._buffer) - self._position)

    def _end(self) -> None:
        """After a zero block: the archive ends with a second one, or with the stream."""
        if self._fill(BLOCK) and self._buffer[:BLOCK] != _ZERO_BLOCK:
            raise Corrupt("a lone zero block stands in the middle of the tar")

    def drain(self) -> None:
        """Read the stream to its end, so that digests cover what follows the archive."""
        self._buffer = b""
        self._position = 0
        while self._fill(1):
            self._buffer = b""

    def _extension(self, size: int) -> bytes:
        if not 0 <= size <= MAX_EXTENSION_BYTES:
            raise Corrupt(f"tar header extension of {size} bytes is too big")
        padded = size + (-size % BLOCK)
        return self._take(padded, "a header extension")[:size]

    def _extended(self, header: bytes | None) -> Entry | None:
        """Gather the extension headers in front of an entry."""
        records: dict[bytes, bytes] = {}
        long_name: bytes | None = None
        long_link: bytes | None = None
        while header is not None:
            kind = header[156:157]
            if kind in (b"x", b"X"):
                records = parse_records(self._extension(parse_number(header[124:136])))
            elif kind == b"g":
                self._extension(parse_number(header[124:136]))
            elif kind == b"L":
                long_name = self._extension(parse_number(header[124:136])).partition(b"\0")[0]
            elif kind == b"K":
                long_link = self._extension(parse_number(header[124:136])).partition(b"\0")[0]
            else:
                return self._finish(header, records, long_name, long_link)
            header = self._header()
        if records or long_name is not None or long_link is not None:
            raise Corrupt("tar ends after a header extension")
        return None

    def _finish(
        self, header: bytes, records: dict[bytes, bytes], long_name: bytes | None, long_link: bytes | None
    ) -> Entry:
        entry = Entry()
        kind = header[156:157]
        entry.name = long_name if long_name is not None else _header_name(header)
        entry.link = long_link if long_link is not None else header[157:257].partition(b"\0")[0]
        numbers = self._numbers
        entry.mode = numbers[header[100:108]] & 0o7777
        entry.uid = numbers[header[108:116]]
        entry.gid = numbers[header[116:124]]
        entry.size = entry.stored_bytes = numbers[header[124:136]]
        entry.mtime_ns = min(max(numbers[header[136:148]], -TIME_MAX), TIME_MAX) * 1_000_000_000
        entry.xattrs = None
        entry.sparse = None
        if records:
            apply_records(entry, records)
        if kind in _HEADER_ONLY:
            entry.size = entry.stored_bytes = 0
        elif kind in (REGULAR, b"\0", _CONTIGUOUS, _GNU_SPARSE):
            kind = DIRECTORY if kind == b"\0" and entry.name.endswith(b"/") else REGULAR
        else:
            raise Corrupt(f"tar entry {_show(entry.name)} is of an unknown type {kind!r}")
        entry.kind = kind
        self._check(entry)
        self._pending = entry.stored_bytes
        self._padding = -entry.stored_bytes % BLOCK
        if kind == DIRECTORY:
            self._discard_directory_data(entry)
        elif header[156:157] == _GNU_SPARSE or (records and kind == REGULAR and b"GNU.sparse.major" in records):
            self._sparse(entry, header, records)
        elif entry.sparse is not None or entry.size != entry.stored_bytes:
            # A sparse file's size without a map is one hole, or nonsense that would be read beyond its end.
            entry.sparse = entry.sparse or []
            validate_map(entry.sparse, entry.stored_bytes, entry.size)
        return entry

    def _discard_directory_data(self, entry: Entry) -> None:
        self._pending = self._padding = entry.stored_bytes = 0

    @staticmethod
    def _check(entry: Entry) -> None:
        if not entry.name or b"\0" in entry.name or b"\0" in entry.link:
            raise Corrupt(f"tar entry has no usable name: {_show(entry.name)}")
        if len(entry.name) > _NAME_BYTES_MAX or len(entry.link) > _NAME_BYTES_MAX:
            raise Corrupt(f"tar entry has a name of more than {_NAME_BYTES_MAX} bytes: {_show(entry.name[:80])}…")
        if not 0 <= entry.size < 1 << 62 or not 0 <= entry.stored_bytes < 1 << 62:
            raise Corrupt(f"tar entry {_show(entry.name)} has an impossible size")
        # 2**32-1 means "leave as it is" to chown(2).
        if not 0 <= entry.uid < 0xFFFFFFFF or not 0 <= entry.gid < 0xFFFFFFFF:
            raise Corrupt(f"tar entry {_show(entry.name)} has an impossible owner {entry.uid}:{entry.gid}")

    def _sparse(self, entry: Entry, header: bytes, records: dict[bytes, bytes]) -> None:
        if header[156:157] == _GNU_SPARSE:
            entry.sparse = self._old_gnu_map(header)
            entry.size = parse_number(header[483:495])
        elif records.get(b"GNU.sparse.major") == b"1" and records.get(b"GNU.sparse.minor", b"0") == b"0":
            available = self._pending
            entry.sparse, used = read_map_1_0(lambda: self._take(BLOCK, "a sparse map"), available)
            self._pending -= used
            entry.stored_bytes -= used
        elif entry.sparse is None:
            raise Corrupt(f"tar entry {_show(entry.name)} is sparse in an unknown way")
        if entry.size < 0 or entry.size >= 1 << 62:
            raise Corrupt(f"tar entry {_show(entry.name)} has an impossible size")
        validate_map(entry.sparse, entry.stored_bytes, entry.size)

    def _old_gnu_map(self, header: bytes) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        block, start, slots, more_at = header, 386, 4, 482
        while True:
            for slot in range(start, start + 24 * slots, 24):
                if block[slot] == 0:
                    break
                found.append((parse_number(block[slot : slot + 12]), parse_number(block[slot + 12 : slot + 24])))
            if not block[more_at]:
                return found
            if len(found) * 24 > MAX_EXTENSION_BYTES:
                raise Corrupt("sparse map is too big")
            block, start, slots, more_at = self._take(BLOCK, "a sparse map"), 0, 21, 504

    def read(self, size: int) -> memoryview:
        """Return 1 to ``size`` bytes of the entry's data, none at its end; valid until the next call."""
        if not self._pending:
            return memoryview(b"")
        if self._position >= len(self._buffer) and not self._fill(1):
            raise Corrupt("tar is cut off in the data of an entry")
        start = self._position
        count = min(size, self._pending, len(self._buffer) - start)
        self._position = start + count
        self._pending -= count
        return memoryview(self._buffer)[start : start + count]


def _header_name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    if header[257:263] == b"ustar\0" and header[345]:
        # xstar keeps times behind a shorter prefix.
        end = 476 if header[508:512] == b"tar\0" else 500
        prefix = header[345:end].partition(b"\0")[0]
        if prefix:
            return prefix + b"/" + name
    return name


def _show(name: bytes) -> str:
    return repr(name.decode(errors="backslashreplace"))
