"""Numbers with units, as podman's options take them: sizes and durations. HOT."""

from __future__ import annotations

_SIZE_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_DURATION_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
_DURATION_UNITS["h"] = 3600 * 10**9


def _is_decimal(text: str) -> bool:
    whole, dot, part = text.partition(".")
    digits = whole + part
    return digits.isascii() and digits.isdigit() and (not dot or bool(whole or part))


def parse_integer(text: str, *, signed: bool = True) -> int:
    """Return a decimal integer of at most 64 bits.

    Raises:
        ValueError: what is wrong with ``text``.
    """
    digits = text[1:] if signed and text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("not an integer" if signed else "not a whole number")
    if len(digits) > 20:
        raise ValueError("too large")
    value = int(text)
    if not -(1 << 63) <= value < (1 << 63 if signed else 1 << 64):
        raise ValueError("too large")
    return value


def parse_number(text: str) -> float:
    """Return a decimal number such as ``0.5``.

    Raises:
        ValueError: what is wrong with ``text``.
    """
    if not _is_decimal(text):
        raise ValueError("not a number")
    return float(text)


def parse_size(text: str) -> int:
    """Return a size in bytes: a number and a unit of 1024 (b, k, m, g, t, p, also as ``kb`` or ``KiB``).

    Source: go-units RAMInBytes, which podman uses for ``--memory`` and ``--shm-size``.

    Raises:
        ValueError: what is wrong with ``text``.
    """
    number = text.rstrip("bBiIkKmMgGtTpP ")
    unit = text[len(number) :].strip().lower()
    if unit[1:] in ("b", "ib") and unit[0] != "b":
        unit = unit[0]
    if unit not in _SIZE_UNITS or not _is_decimal(number):
        raise ValueError("not a size (a number and one of b, k, m, g)")
    return int(float(number) * _SIZE_UNITS[unit])


def parse_duration(text: str) -> int:
    """Return a duration in nanoseconds: ``1h30m``, ``250ms``, or plain milliseconds.

    Source: Go's time.ParseDuration; plain numbers are milliseconds, as podman takes them for ``wait --interval``.

    Raises:
        ValueError: what is wrong with ``text``.
    """
    if _is_decimal(text):
        return int(float(text) * 10**6)
    total, rest = 0.0, text
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = rest[: len(rest) - len(rest.lstrip("nuµμmsh"))]
        # "1m30s": the letters up to the next digit are one unit
        rest = rest[len(unit) :]
        if not _is_decimal(number) or unit not in _DURATION_UNITS:
            raise ValueError("not a duration (such as 90s, 1h30m or 250ms)")
        total += float(number) * _DURATION_UNITS[unit]
    if not text:
        raise ValueError("not a duration (such as 90s, 1h30m or 250ms)")
    return int(total)


def seconds_of(text: str) -> float:
    """Return a duration in seconds.

    Raises:
        ValueError: what is wrong with ``text``.
    """
    return parse_duration(text) / 10**9


def parse_bool(text: str) -> bool:
    """Return a flag's value as Go's strconv.ParseBool reads it.

    Raises:
        ValueError: what is wrong with ``text``.
    """
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError("neither true nor false")


def split_commas(text: str) -> list[str]:
    """Split ``a,b,"c,d"`` at the commas outside double quotes, as pflag's string slices do."""
    if '"' not in text:
        return text.split(",")
    parts, current, quoted, at = [], "", False, 0
    while at < len(text):
        letter = text[at]
        if letter == '"' and quoted and text[at + 1 : at + 2] == '"':
            current, at = current + '"', at + 1
        elif letter == '"' and (quoted or not current):
            quoted = not quoted
        elif letter == "," and not quoted:
            parts.append(current)
            current = ""
        else:
            current += letter
        at += 1
    if quoted:
        raise ValueError("a double quote is not closed")
    return [*parts, current]
