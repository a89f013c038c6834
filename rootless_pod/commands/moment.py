"""``--since`` and ``--until``: moments, to the nanosecond, and spans.

Source: podman's ParseInputTime: seconds since 1970, RFC 3339 with or without zone and time, or a Go duration.
"""

from __future__ import annotations

import time

from rootless_pod.errors import Usage

_SECOND_NS = 1_000_000_000


def moment_ns(word: str, option: str, *, ahead: bool, now_ns: int | None = None) -> int | None:
    """Return ns since the epoch; None for "". A span is counted back from now, or on from it where ``ahead``.

    Raises:
        Usage: it is neither a moment nor a span.
    """
    if not word:
        return None
    from rootless_pod.commands.quantity import parse_duration

    try:
        return _exact(word)
    except ValueError:
        pass
    backward = word.startswith("-")
    try:
        span = parse_duration(word.removeprefix("-"))
    except ValueError:
        remedy = "write 2026-01-31T10:00:00Z, seconds since 1970, or a span such as 10m or 1h30m"
        raise Usage(f"{option} {word!r} is neither a time nor a span", remedy=remedy) from None
    now = time.time_ns() if now_ns is None else now_ns
    return now + span if ahead != backward else now - span


def _exact(word: str) -> int:
    """Return a moment's ns; a float would lose the last digits of a time that a log shows (raises ValueError)."""
    from rootless_pod.commands.times import parse_time

    before, dot, after = word.partition(".")
    digits = after[: len(after) - len(after.lstrip("0123456789"))] if dot else ""
    fraction = int(f"{digits}000000000"[:9])
    if before.isdigit() and after == digits:
        return int(before) * _SECOND_NS + fraction
    return int(parse_time(before + after[len(digits) :])) * _SECOND_NS + fraction
