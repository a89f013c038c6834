"""JSON without importing ``json`` (which pulls in ``re``): about 8 ms less at each start.

CPython's C scanner and encoder are called directly; where that private module
is absent or differs, the standard library's ``json`` takes over.  Output is
compact (no blanks), keys in insertion order, ASCII only.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_WHITESPACE = " \t\n\r"


class _Scanner:
    """The attributes that the C scanner reads from its context."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    memo: dict[str, str] = {}

    @staticmethod
    def parse_constant(name: str) -> Any:
        raise ValueError(f"not a JSON number: {name}")


def _unencodable(value: object) -> Any:
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def _build() -> tuple[Callable[[str], Any], Callable[[Any], str]]:
    try:
        from _json import encode_basestring_ascii, make_encoder, make_scanner

        scan = make_scanner(_Scanner)  # type: ignore[arg-type]  # any object with these attributes will do
        encode = make_encoder({}, _unencodable, encode_basestring_ascii, None, ":", ",", False, False, False)

        def loads(text: str) -> Any:
            start = len(text) - len(text.lstrip(_WHITESPACE))
            try:
                value, end = scan(text, start)
            except StopIteration as stop:
                raise ValueError(f"not JSON at character {stop.value}") from None
            except SystemError:
                # Up to Python 3.11 the scanner's own error needs json.decoder loaded, which it is not here.
                raise ValueError("not JSON") from None
            if text[end:].strip(_WHITESPACE):
                raise ValueError(f"text after the JSON value at character {end}")
            return value

        def dumps(value: Any) -> str:
            return "".join(encode(value, 0))

        if dumps(loads(' {"a": [1, 2.5, null]} ')) != '{"a":[1,2.5,null]}':
            raise ImportError("unexpected _json")
    except (ImportError, TypeError, AttributeError, ValueError):
        import json

        def dumps(value: Any) -> str:
            return json.dumps(value, separators=(",", ":"))

        return json.loads, dumps
    return loads, dumps


_loads, _dumps = _build()


def loads(text: str | bytes) -> Any:
    """Parse one JSON value.

    Raises:
        ValueError: the text is not UTF-8 or not one JSON value.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        return _loads(text)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def dumps(value: Any) -> str:
    """Write ``value`` as compact JSON text."""
    return _dumps(value)


class Map(dict):  # type: ignore[type-arg]
    """A JSON object whose keys are data (labels, say): for ``--format`` it is a Go map, whatever its keys look like."""


class NoMap(Map):
    """A Go map that is nil: ``null`` in JSON, ``map[]`` for ``--format``."""


class Struct(dict):  # type: ignore[type-arg]
    """A JSON object that is a Go struct for ``--format``, even without a field."""


class NoList(list):  # type: ignore[type-arg]
    """A Go slice that is nil: ``null`` in JSON, ``[]`` for ``--format``."""
