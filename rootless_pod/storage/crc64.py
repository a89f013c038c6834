"""CRC-64 of ISO 3309 as Go's ``hash/crc64`` computes it: what tar-split keeps of each file.

Python's standard library has none, and byte by byte it would be slower than the network. The polynomial is
P = x^64 + x^4 + x^3 + x + 1, and squaring is linear over bits: with e = 2^k, x^(64 e) leaves the same remainder as
x^(4 e) + x^(3 e) + x^e + 1. So a message of any length is halved by a few shifts of long integers, again and again.
"""

from __future__ import annotations

_ONES = (1 << 64) - 1


def update(crc: int, data: bytes) -> int:
    """Return the CRC of what ``crc`` (0 at first) stands for, followed by ``data``."""
    # Bits are reflected: the lowest bit of the first byte is the highest power. 64 zeros follow the message.
    width = 8 * len(data) + 64
    value = int.from_bytes(data, "little") ^ crc ^ _ONES
    while width > 64:
        e = 1
        while 128 * e < width:
            e *= 2
        if 64 * e >= width:
            e //= 2
        value, width = _fold(value, width, e)
    return value ^ _ONES


def _fold(value: int, width: int, e: int) -> tuple[int, int]:
    """Return the same remainder with the powers from x^(64 e) on replaced by lower ones."""
    low_width = 64 * e
    high_width = width - low_width
    high = value & ((1 << high_width) - 1)
    low = value >> high_width
    made = max(low_width, high_width + 4 * e)
    start = made - high_width
    folded = (high << start) ^ (high << (start - e)) ^ (high << (start - 3 * e)) ^ (high << (start - 4 * e))
    return folded ^ (low << (made - low_width)), made
