"""Numbers, sizes and pairs as users type them: small pure functions that name the option when they refuse. HOT."""

from __future__ import annotations

from rootless_pod.errors import Usage

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_TRUE = frozenset(("1", "t", "true", "T", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "false", "F", "FALSE", "False"))


def parse_size(text: str, option: str) -> int:
    """Return a size in bytes: ``64m``, ``1.5g``, ``512k``, ``10MiB``, ``100``; units are powers of 1,024."""
    lowered = text.strip().lower()
    number = lowered.rstrip("bkmgtpi")
    unit = lowered[len(number) :].removesuffix("b").removesuffix("i") or ""
    if lowered.endswith("b") and unit == "" and lowered[len(number) :] not in ("b", ""):
        unit = "?"
    try:
        value = float(number) if "." in number else int(number)
        return int(value * _UNITS[unit if number[0].isdigit() else "?"])
    except (ValueError, KeyError, IndexError, OverflowError):
        raise Usage(
            f"{option}: invalid size: {text!r}", remedy="write a number with the unit b, k, m or g: 64m"
        ) from None


def parse_int(text: str, option: str, *, minimum: int | None = None, maximum: int | None = None) -> int:
    """Return a whole decimal number within bounds."""
    digits = text[1:] if text[:1] in "+-" else text
    if not (digits.isascii() and digits.isdigit()):
        raise Usage(f"{option}: invalid number: {text!r}")
    value = int(text)
    if (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
        bounds = f"{'' if minimum is None else minimum}..{'' if maximum is None else maximum}"
        raise Usage(f"{option}: {value} is out of range ({bounds})")
    return value


def parse_bool(text: str, option: str) -> bool:
    """Return a truth value as Go's flag package reads it (1, t, true …)."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise Usage(f"{option}: invalid truth value: {text!r}", remedy="write true or false")


def parse_pair(text: str, option: str) -> tuple[str, str]:
    """Split ``key=value``."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise Usage(f"{option}: {text!r} must be in the form KEY=VALUE")
    return key, value


def parse_octal(text: str, option: str, *, maximum: int = 0o7777) -> int:
    """Return an octal number (a umask, a mode)."""
    try:
        value = int(text, 8)
    except ValueError:
        value = -1
    if not 0 <= value <= maximum or not text.isalnum():
        raise Usage(f"{option}: invalid octal number: {text!r}")
    return value
