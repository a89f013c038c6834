"""PAX records and sparse maps of tar archives. Source: POSIX.1-2017 pax; GNU tar manual, "Storing Sparse Files"."""

from __future__ import annotations

from rootless_pod.errors import Corrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.storage.tar import Entry

# What Go's reader takes at most, so no image has more.
MAX_EXTENSION_BYTES = 1 << 20
_XATTR = b"SCHILY.xattr."
# Seconds that every file system and os.utime take.
TIME_MAX = 1 << 33


def parse_records(data: bytes) -> dict[bytes, bytes]:
    r"""Return the records of an extended header (``"LENGTH KEY=VALUE\n"``), the last of equal keys.

    The keys of sparse format 0.0, which come many times, are gathered under ``GNU.sparse.map``.

    Raises:
        Corrupt: a record is malformed.
    """
    records: dict[bytes, bytes] = {}
    spans: list[bytes] = []
    position = 0
    while position < len(data):
        blank = data.find(b" ", position, position + 20)
        digits = data[position:blank] if blank > 0 else b""
        if not digits.isdigit():
            if not data[position:].strip(b"\0"):
                break
            raise Corrupt("tar PAX record has no length")
        end = position + int(digits)
        if end > len(data) or end <= blank + 1 or data[end - 1 : end] != b"\n":
            raise Corrupt("tar PAX record has a wrong length")
        key, equals, value = data[blank + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise Corrupt("tar PAX record has no key")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            spans.append(value)
        else:
            records[key] = value
        position = end
    if spans:
        records[b"GNU.sparse.map"] = b",".join(spans)
    return records


def _whole(records: dict[bytes, bytes], key: bytes) -> int | None:
    value = records.get(key)
    # An empty value means "as if the record were not there".
    if not value:
        return None
    if not value.isdigit() or len(value) > 20:
        raise Corrupt(f"tar PAX record {key.decode()} is not a number: {value[:40]!r}")
    return int(value)


def parse_time(value: bytes) -> int:
    """Return nanoseconds of a decimal time like ``-12.5``; far times are brought into the range of file systems.

    Raises:
        Corrupt: it is not a decimal number.
    """
    negative = value.startswith(b"-")
    seconds, _point, fraction = value[negative:].partition(b".")
    if not seconds.isdigit() or (fraction and not fraction.isdigit()) or len(value) > 64:
        raise Corrupt(f"tar PAX record mtime is not a time: {value[:40]!r}")
    total = min(int(seconds), TIME_MAX) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    return -total if negative else total


def apply_records(entry: Entry, records: dict[bytes, bytes]) -> None:
    """Let PAX records override what the header said."""
    if value := records.get(b"path"):
        entry.name = value
    if value := records.get(b"GNU.sparse.name"):
        entry.name = value
    if value := records.get(b"linkpath"):
        entry.link = value
    if (number := _whole(records, b"uid")) is not None:
        entry.uid = number
    if (number := _whole(records, b"gid")) is not None:
        entry.gid = number
    # The size counts for finding the next header too; else two readers see two archives.
    if (number := _whole(records, b"size")) is not None:
        entry.size = entry.stored_bytes = number
    if value := records.get(b"mtime"):
        entry.mtime_ns = parse_time(value)
    xattrs = {key[len(_XATTR) :]: value for key, value in records.items() if key.startswith(_XATTR)}
    if xattrs:
        entry.xattrs = xattrs
    for key in (b"GNU.sparse.size", b"GNU.sparse.realsize"):
        if (number := _whole(records, key)) is not None:
            entry.size = number
    if value := records.get(b"GNU.sparse.map"):
        entry.sparse = _map_of_list(value)


def _map_of_list(value: bytes) -> list[tuple[int, int]]:
    numbers = value.split(b",")
    if len(numbers) % 2 or not all(number.isdigit() and len(number) < 20 for number in numbers):
        raise Corrupt("sparse map is not a list of pairs")
    return [(int(numbers[i]), int(numbers[i + 1])) for i in range(0, len(numbers), 2)]


def read_map_1_0(next_block: Callable[[], bytes], available: int) -> tuple[list[tuple[int, int]], int]:
    """Read the map in front of a sparse file's data (format 1.0); return it and the bytes it took.

    Raises:
        Corrupt: it is malformed or longer than the data.
    """
    rest = b""
    used = 0

    def number() -> int:
        nonlocal rest, used
        digits, newline, after = rest.partition(b"\n")
        while not newline:
            if len(rest) > 20 or used + 512 > min(available, MAX_EXTENSION_BYTES):
                raise Corrupt("sparse map is longer than its entry")
            rest += next_block()
            used += 512
            digits, newline, after = rest.partition(b"\n")
        if not digits.isdigit() or len(digits) >= 20:
            raise Corrupt("sparse map holds something that is not a number")
        rest = after
        return int(digits)

    count = number()
    # A pair takes at least four bytes.
    if count * 4 > min(available, MAX_EXTENSION_BYTES):
        raise Corrupt("sparse map is longer than its entry")
    return [(number(), number()) for _pair in range(count)], used


def validate_map(spans: list[tuple[int, int]], stored_bytes: int, size: int) -> None:
    """Check that the spans ascend, lie inside the file and need exactly the data there is.

    Raises:
        Corrupt: they don't.
    """
    end = total = 0
    for offset, length in spans:
        if offset < end or length < 0 or offset + length > size:
            raise Corrupt("sparse map does not fit its file")
        end = offset + length
        total += length
    if total != stored_bytes:
        raise Corrupt("sparse map does not match the data")
