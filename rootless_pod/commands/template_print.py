"""Values as Go prints them: ``fmt.Print``, ``%v`` and its relatives, ``json``.

Decoded JSON stands for Go's values: a dict whose keys all begin with a capital is a struct, any other a map, unless
it is marked as one (``jsontext.Map``, ``Struct``) by who made it.
"""

from __future__ import annotations

from rootless_pod.jsontext import Map, NoList, NoMap, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class NoValue:
    """What a field that is not there gives: printed ``<no value>``, false, ``null`` in JSON."""

    def __bool__(self) -> bool:
        return False


NO_VALUE = NoValue()
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"}


def is_struct(value: object) -> bool:
    """Say whether a dict stands for a Go struct."""
    if isinstance(value, (Map, Struct)):
        return isinstance(value, Struct)
    return isinstance(value, dict) and bool(value) and all(isinstance(key, str) and key[:1].isupper() for key in value)


def go_float(number: float, precision: int = -1) -> str:
    """Print a float64 as ``%v`` does: shortest form, exponent from 21 digits on."""
    if number != number:  # noqa: PLR0124 - the one value that differs from itself
        return "NaN"
    if number in (float("inf"), float("-inf")):
        return "+Inf" if number > 0 else "-Inf"
    text = repr(number) if precision < 0 else f"{number:.{precision}g}"
    if "e" not in text and "." in text:
        text = text.rstrip("0").rstrip(".")
    if number and 1e-4 <= abs(number) < 1e21 and "e" in text:
        text = f"{number:.0f}"
    return text


def print_value(value: object, *, quoted: bool = False, inside: bool = False, named: bool = False) -> str:
    """Return ``value`` as Go's ``%v`` prints it (``quoted``: ``%q``; ``named``: ``%+v``, with the fields' names)."""
    if isinstance(value, str):
        return quote(value) if quoted else value
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(print_value(item, quoted=quoted, inside=True, named=named) for item in value) + "]"
    if isinstance(value, dict):
        return _print_dict(value, quoted=quoted, named=named)
    return _print_simple(value, inside=inside)


def _print_simple(value: object, *, inside: bool) -> str:
    if value is NO_VALUE and not inside:
        return "<no value>"
    if value is NO_VALUE or value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return go_float(value) if isinstance(value, float) else str(value)


def _print_dict(value: dict[Any, object], *, quoted: bool, named: bool) -> str:
    struct = is_struct(value)
    parts = []
    for key in value if struct else sorted(value):
        name = "" if struct and not named else f"{print_value(key, quoted=quoted and not struct)}:"
        parts.append(name + print_value(value[key], quoted=quoted, inside=True, named=named))
    return f"{{{' '.join(parts)}}}" if struct else f"map[{' '.join(parts)}]"


def go_type(value: object) -> str:
    """Name the Go type that ``value`` stands for."""
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float64"), (str, "string")):
        if isinstance(value, kind):
            return name
    if isinstance(value, (list, tuple)):
        return "[]string" if value and all(isinstance(item, str) for item in value) else "[]interface {}"
    return "map[string]interface {}" if isinstance(value, dict) else "<nil>"


def quote(text: str) -> str:
    """Return a Go string constant, as ``%q`` prints it."""
    out = []
    for letter in text:
        code = ord(letter)
        if letter == '"':
            out.append('\\"')
        elif letter in _ESCAPES:
            out.append(_ESCAPES[letter])
        elif letter.isprintable():
            out.append(letter)
        elif code < 0x80:
            out.append(f"\\x{code:02x}")
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(out) + '"'


def go_json(value: object) -> str:
    """Write compact JSON as Go's encoder does without HTML escapes: maps sorted, structs in order, UTF-8 kept."""
    if value is NO_VALUE or value is None or isinstance(value, (NoMap, NoList)):
        return "null"
    if isinstance(value, str):
        return _json_string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(go_json(item) for item in value) + "]"
    if isinstance(value, dict):
        keys = value if is_struct(value) else sorted(value, key=str)
        return "{" + ",".join(f"{_json_string(str(key))}:{go_json(value[key])}" for key in keys) + "}"
    return str(value)


def _json_string(text: str) -> str:
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'  # nearly all: an inspect of many containers is made of them
    out = []
    for letter in text:
        if letter in '"\\':
            out.append(f"\\{letter}")
        elif letter in "\n\r\t":
            out.append({"\n": "\\n", "\r": "\\r", "\t": "\\t"}[letter])
        elif ord(letter) < 0x20 or letter in "\u2028\u2029":
            out.append(f"\\u{ord(letter):04x}")
        else:
            out.append(letter)
    return '"' + "".join(out) + '"'


class _Verb:
    """One ``%…`` of a format: its flags, width, precision and letter."""

    def __init__(self, flags: str, width: int | None, precision: int | None, letter: str) -> None:
        self.flags, self.width, self.precision, self.letter = flags, width, precision, letter

    def pad(self, text: str, *, numeric: bool = False) -> str:
        if self.width is None or len(text) >= self.width:
            return text
        if "-" in self.flags:
            return text.ljust(self.width)
        if "0" in self.flags and numeric:
            sign = text[:1] if text[:1] in "+-" else ""
            return sign + text[len(sign) :].rjust(self.width - len(sign), "0")
        return text.rjust(self.width)

    def show(self, value: object) -> str:
        letter = self.letter
        if letter == "v" and isinstance(value, str):
            return self.pad(quote(value) if "#" in self.flags else value)
        if letter == "v" or (letter == "t" and isinstance(value, bool)):
            return self.pad(print_value(value, inside=True, named="+" in self.flags))
        if letter == "T":
            return self.pad(go_type(value))
        if letter in "sqxX" and isinstance(value, str):
            return self.pad(self.show_text(value))
        if letter in "sq" and isinstance(value, (list, tuple, dict)):
            return self.pad(print_value(value, quoted=letter == "q"))
        return self.show_number(value)

    def show_number(self, value: object) -> str:
        letter = self.letter
        if isinstance(value, int) and not isinstance(value, bool) and letter in "dxXobcqU":
            return self.pad(self.show_integer(value), numeric=letter in "dxXob")
        if isinstance(value, float) and letter in "feEgG":
            return self.pad(self.show_float(value), numeric=True)
        shown = f"{go_type(value)}={print_value(value, inside=True)}" if value is not None else "<nil>"
        return f"%!{letter}({shown})"

    def show_text(self, text: str) -> str:
        if self.precision is not None:
            text = text[: self.precision]
        if self.letter == "q":
            return f"`{text}`" if "#" in self.flags and "`" not in text else quote(text)
        if self.letter == "s":
            return text
        encoded = text.encode(errors="surrogateescape")
        digits = encoded.hex(" ") if " " in self.flags else encoded.hex()
        return digits.upper() if self.letter == "X" else digits

    def show_integer(self, number: int) -> str:
        letter = self.letter
        if letter == "c":
            return chr(number)
        if letter == "q":
            return f"'{chr(number)}'"
        if letter == "U":
            return f"U+{number:04X}"
        shown = format(abs(number), letter)
        if "#" in self.flags:
            shown = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(letter, "") + shown
        sign = "-" if number < 0 else "+" if "+" in self.flags else " " if " " in self.flags else ""
        return sign + shown

    def show_float(self, number: float) -> str:
        letter = self.letter
        if letter in "gG" and self.precision is None:
            shown = go_float(number)
        else:
            shown = format(number, f".{6 if self.precision is None else self.precision}{letter}")
        return f"+{shown}" if "+" in self.flags and number >= 0 else shown


def sprintf(form: str, values: Sequence[Any]) -> str:
    """Format as Go's ``fmt.Sprintf``, mistakes included (``%!d(MISSING)``)."""
    out, at, used, rest = [], 0, 0, list(values)
    while at < len(form):
        percent = form.find("%", at)
        if percent < 0:
            out.append(form[at:])
            break
        out.append(form[at:percent])
        at = percent + 1
        flags = form[at:][: len(form) - at - len(form[at:].lstrip("+-# 0"))]
        at += len(flags)
        numbers: list[int | None] = [None, None]
        for which in (0, 1):
            if which and form[at : at + 1] != ".":
                break
            at += which
            if form[at : at + 1] == "*" and used < len(rest) and isinstance(rest[used], int):
                numbers[which], used, at = rest[used], used + 1, at + 1
                continue
            digits = form[at:][: len(form) - at - len(form[at:].lstrip("0123456789"))]
            at += len(digits)
            numbers[which] = int(digits) if digits else (0 if which else None)
        letter = form[at : at + 1]
        at += 1
        if letter == "%":
            out.append("%")
        elif not letter:
            out.append("%!(NOVERB)")
        elif used >= len(rest):
            out.append(f"%!{letter}(MISSING)")
        else:
            out.append(_Verb(flags, numbers[0], numbers[1], letter).show(rest[used]))
            used += 1
    if used < len(rest):
        extra = ", ".join(f"{go_type(value)}={print_value(value, inside=True)}" for value in rest[used:])
        out.append(f"%!(EXTRA {extra})")
    return "".join(out)
