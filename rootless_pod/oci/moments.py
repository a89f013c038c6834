"""Moments as Go writes them into JSON: RFC 3339 with nanoseconds, UTC."""

from __future__ import annotations

import time

NO_MOMENT = "0001-01-01T00:00:00Z"
NO_UNIX_SECONDS = -62135596800


def rfc3339(moment_ns: int) -> str:
    """Return ``2026-01-02T03:04:05.6Z`` for ns since the epoch; zeros at the end of the fraction are left out."""
    seconds, fraction = divmod(moment_ns, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    digits = f"{fraction:09d}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"
