"""The functions of templates: Go's own, and those podman adds."""

from __future__ import annotations

from rootless_pod.commands.template_print import NO_VALUE, go_json, go_type, print_value, sprintf
from rootless_pod.jsontext import Map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class FunctionError(Exception):
    """A function was called with values it can't work on."""


def is_true(value: object) -> bool:
    """Return the truth of a value as ``if`` sees it: false for zero and empty ones."""
    return bool(value)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _basic(value: object) -> object:
    if _number(value):
        return "number"
    if isinstance(value, (bool, str)):
        return type(value)
    if value is None or value is NO_VALUE:
        return None
    raise FunctionError(f"{go_type(value)} cannot be compared")


def _same(left: object, right: object) -> bool:
    kinds = _basic(left), _basic(right)
    if None in kinds:
        return kinds[0] == kinds[1]
    if kinds[0] != kinds[1]:
        raise FunctionError(f"incompatible types for comparison: {go_type(left)} and {go_type(right)}")
    return left == right


def _eq(left: object, *others: object) -> bool:
    if not others:
        raise FunctionError("a second value is missing")
    return any([_same(left, other) for other in others])  # noqa: C419 - every pair is checked, as Go does


def _less(left: Any, right: Any) -> bool:
    kinds = _basic(left), _basic(right)
    if kinds[0] != kinds[1] or kinds[0] in (None, bool):
        raise FunctionError(f"incompatible types for comparison: {go_type(left)} and {go_type(right)}")
    return bool(left < right)


def _len(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode(errors="surrogateescape"))
    if isinstance(value, (list, tuple, dict)):
        return len(value)
    raise FunctionError(f"{go_type(value)} has no length")


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            if not isinstance(key, str):
                raise FunctionError(f"a map is indexed by a string, not by {go_type(key)}")
            of_texts = isinstance(value, Map) if not value else all(isinstance(item, str) for item in value.values())
            empty: object = "" if of_texts else NO_VALUE
            value = value.get(key, empty)
        elif isinstance(value, (list, tuple, str)):
            if not isinstance(key, int) or isinstance(key, bool):
                raise FunctionError(f"a list is indexed by a number, not by {go_type(key)}")
            if not 0 <= key < len(value):
                raise FunctionError(f"index out of range: {key}")
            value = ord(value[key]) if isinstance(value, str) else value[key]
        elif value is None or value is NO_VALUE:
            raise FunctionError("nothing there to index")
        else:
            raise FunctionError(f"{go_type(value)} cannot be indexed")
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, (list, tuple, str)):
        raise FunctionError(f"{go_type(value)} cannot be sliced")
    if any(not isinstance(bound, int) or not 0 <= bound <= len(value) for bound in bounds) or len(bounds) > 2:
        raise FunctionError("slice bounds out of range")
    first = bounds[0] if bounds else 0
    last = bounds[1] if len(bounds) > 1 else len(value)
    if first > last:
        raise FunctionError("slice bounds out of range")
    return value[first:last]


def _print(*values: object) -> str:
    """Join as fmt.Sprint: a blank between two values when neither is a string."""
    out = ""
    for at, value in enumerate(values):
        if at and not isinstance(value, str) and not isinstance(values[at - 1], str):
            out += " "
        out += print_value(value, inside=True)
    return out


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise FunctionError(f"wants a string, got {go_type(value)}")


def _join(values: object, separator: object) -> str:
    if values is None or values is NO_VALUE:
        return ""
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
        raise FunctionError(f"wants a list of strings, got {go_type(values)}")
    return _text(separator).join(values)


def _split(value: object, separator: object) -> list[str]:
    return _text(value).split(_text(separator)) if separator else list(_text(value))


def _title(value: object) -> str:
    out, before = "", " "
    for letter in _text(value):
        out += letter if before.isalnum() or before in "_'" else letter.title()
        before = letter
    return out


def _pad(value: object, before: int, after: int) -> str:
    return " " * before + _text(value) + " " * after if value else ""


def _html(*values: object) -> str:
    text = _print(*values)
    for sign, escaped in (("&", "&amp;"), ("'", "&#39;"), ('"', "&#34;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, escaped)
    return text


def _urlquery(*values: object) -> str:
    from urllib.parse import quote_plus

    return quote_plus(_print(*values), safe="~")


def _println(*values: object) -> str:
    return " ".join(print_value(value, inside=True) for value in values) + "\n"


# name → (function, fewest and most arguments; None: any number)
FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int | None]] = {
    "eq": (_eq, 1, None),
    "ge": (lambda left, right: not _less(left, right), 2, 2),
    "gt": (lambda left, right: _less(right, left), 2, 2),
    "html": (_html, 0, None),
    "index": (_index, 1, None),
    "join": (_join, 2, 2),
    "json": (go_json, 1, 1),
    "le": (lambda left, right: not _less(right, left), 2, 2),
    "len": (_len, 1, 1),
    "lower": (lambda value: _text(value).lower(), 1, 1),
    "lt": (_less, 2, 2),
    "ne": (lambda left, right: not _same(left, right), 2, 2),
    "not": (lambda value: not is_true(value), 1, 1),
    "pad": (_pad, 3, 3),
    "print": (_print, 0, None),
    "printf": (lambda form, *values: sprintf(_text(form), values), 1, None),
    "println": (_println, 0, None),
    "slice": (_slice, 1, 3),
    "split": (_split, 2, 2),
    "title": (_title, 1, 1),
    "truncate": (lambda value, length: _text(value)[:length], 2, 2),
    "upper": (lambda value: _text(value).upper(), 1, 1),
    "urlquery": (_urlquery, 0, None),
}

# In the heading row of a table these hand the column's title on.
HEADING_FUNCTIONS = ("join", "json", "lower", "pad", "split", "title", "truncate", "upper")
LAZY = ("and", "or")


def call(name: str, arguments: list[Any]) -> Any:
    """Call a function of templates.

    Raises:
        FunctionError: the wrong number of values, or values it can't work on.
    """
    function, least, most = FUNCTIONS[name]
    if len(arguments) < least or (most is not None and len(arguments) > most):
        wanted = f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
        raise FunctionError(f"wants {wanted} values, got {len(arguments)}")
    return function(*arguments)
