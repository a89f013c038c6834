"""What a registry says about being asked too often: ``Retry-After`` and the ``RateLimit-…`` headers."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def retry_after(value: str) -> float | None:
    """Return the seconds a ``Retry-After`` header asks for (a number, or a date); None where it says nothing."""
    if value.strip().isdigit():
        return float(value)
    if not value:
        return None
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def limit_words(headers: Mapping[str, str]) -> str:
    """Return the limit as the headers tell it: `` (100 requests in 6 hours; wait 40 minutes)``, or nothing.

    Source: IETF draft "RateLimit header fields", as Docker Hub sends them (``RateLimit-Limit: 100;w=21600``).
    """
    parts = []
    count, _semicolon, rest = headers.get("RateLimit-Limit", "").partition(";")
    window = rest.strip().removeprefix("w=")
    if count.strip().isdigit():
        within = f" in {_duration(float(window))}" if window.isdigit() else ""
        parts.append(f"{count.strip()} requests{within}")
    wait = retry_after(headers.get("Retry-After", ""))
    if wait is not None:
        parts.append(f"wait {_duration(wait)}")
    return f" ({'; '.join(parts)})" if parts else ""


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = round(seconds / size)
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return f"{round(seconds)} seconds"
