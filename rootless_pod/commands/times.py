"""Times in words, spelled as podman and docker do. HOT.

Source: docker/go-units, HumanDuration.
"""

from __future__ import annotations

import time


def in_words(seconds: float) -> str:
    """Return a length of time: ``Less than a second``, ``5 minutes``, ``About an hour``."""
    whole = int(seconds)
    if whole < 60:
        return "Less than a second" if whole < 1 else "1 second" if whole == 1 else f"{whole} seconds"
    minutes = whole // 60
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    for most, length, name in ((48, 1, "hours"), (24 * 7 * 2, 24, "days"), (24 * 30 * 2, 24 * 7, "weeks")):
        if hours < most:
            return f"{hours // length} {name}"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / 3600) // 24 // 365} years"


def ago(then: float, now: float | None = None) -> str:
    """Return how long ago ``then`` (seconds since 1970) was: ``3 minutes ago``."""
    return f"{in_words((time.time() if now is None else now) - then)} ago"


def up(started: float, now: float | None = None) -> str:
    """Return the status of a running container: ``Up 5 minutes``."""
    return f"Up {in_words((time.time() if now is None else now) - started)}"


def exited(code: int, finished: float, now: float | None = None) -> str:
    """Return the status of a stopped container: ``Exited (0) 2 hours ago``."""
    return f"Exited ({code}) {ago(finished, now)}"


def go_time(ns: int) -> str:
    """Return a moment as Go prints a local time.Time: ``2024-05-01 10:00:00.123456789 +0200 CEST``."""
    local = time.localtime(ns // 10**9)
    part = f".{ns % 10**9:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%d %H:%M:%S", local) + part + time.strftime(" %z %Z", local)


def go_duration(ns: int) -> str:
    """Return a length of time as Go prints a time.Duration: ``0s``, ``1.5ms``, ``2m3.25s``, ``1h0m0s``."""
    if ns < 0:
        return f"-{go_duration(-ns)}"
    if ns < 10**9:
        for unit, size in (("ms", 10**6), ("µs", 10**3), ("ns", 1)):
            if ns >= size:
                return f"{_decimal(ns, size)}{unit}"
        return "0s"
    minutes, rest = divmod(ns, 60 * 10**9)
    text = f"{_decimal(rest, 10**9)}s"
    if not minutes:
        return text
    return f"{minutes // 60}h{minutes % 60}m{text}" if minutes >= 60 else f"{minutes}m{text}"


def _decimal(ns: int, unit: int) -> str:
    whole, part = divmod(ns, unit)
    digits = str(part + unit)[1:].rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def rfc3339(ns: int) -> str:
    """Return a moment as JSON holds it: ``2024-05-01T10:00:00.123456789+02:00`` (``Z`` for UTC)."""
    local = time.localtime(ns // 10**9)
    part = f".{ns % 10**9:09d}".rstrip("0").rstrip(".")
    zone = time.strftime("%z", local)
    return time.strftime("%Y-%m-%dT%H:%M:%S", local) + part + ("Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}")


def parse_time(text: str) -> float:
    """Return seconds since 1970 of an RFC 3339 time, as images and records hold it.

    Raises:
        ValueError: it is none.
    """
    date, _, rest = text.strip().replace(" ", "T", 1).partition("T")
    year, month, day = (int(part) for part in date.split("-"))
    zone_at = next((at for at, letter in enumerate(rest) if letter in "Zz+-"), len(rest))
    clock, zone = rest[:zone_at] or "00:00:00", rest[zone_at:].strip()
    hour, minute, second = clock.split(":")
    offset = 0
    if zone and zone not in "Zz":
        sign = -1 if zone[0] == "-" else 1
        digits = zone[1:6].replace(":", "")
        offset = sign * (int(digits[:2]) * 3600 + int(digits[2:4]) * 60)
    return _utc_seconds(year, month, day) + int(hour) * 3600 + int(minute) * 60 + float(second) - offset


def _utc_seconds(year: int, month: int, day: int) -> int:
    """Count the seconds from 1970 to a day of the Gregorian calendar."""
    if not (1 <= month <= 12 and 1 <= day <= 31):
        raise ValueError("no such day")
    shifted = year - (month <= 2)
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400
    days += (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return (days - 719468) * 86400
