"""JSON that decides about trust: no field twice, none unknown, none of another type than said."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Malformed(ValueError):
    """A document breaks its format; the text names the field."""


def parse_object(data: bytes, where: str) -> dict[str, Any]:
    """Return the one JSON object that ``data`` is.

    Raises:
        Malformed: it is something else, or a field comes twice.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise Malformed(f"{where}: field {key!r} comes twice")
            found[key] = value
        return found

    def no_number(text: str) -> Any:
        raise Malformed(f"{where}: {text} is not a JSON number")

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_number)
    except Malformed:
        raise
    except (ValueError, RecursionError) as cause:
        raise Malformed(f"{where} is not JSON: {cause}") from cause
    return as_object(value, where)


def as_object(value: object, where: str) -> dict[str, Any]:
    """Return ``value`` if it is a JSON object.

    Raises:
        Malformed: it is not.
    """
    if not isinstance(value, dict):
        raise Malformed(f"{where} is not a JSON object")
    return value


def as_list(value: object, where: str) -> list[Any]:
    """Return ``value`` if it is a list with something in it.

    Raises:
        Malformed: it is not.
    """
    if not isinstance(value, list) or not value:
        raise Malformed(f"{where} is not a list with at least one entry")
    return value


def check_fields(
    found: Mapping[str, Any], where: str, *, required: Mapping[str, type], optional: Mapping[str, type] | None = None
) -> None:
    """Hold an object against the fields it must and may have, and their types.

    Raises:
        Malformed: a field is missing, unknown or of another type.
    """
    known = {**required, **(optional or {})}
    for name in required:
        if name not in found:
            raise Malformed(f"{where}: field {name!r} is missing")
    for name, value in found.items():
        if name not in known:
            raise Malformed(f"{where}: unknown field {name!r}")
        wanted = known[name]
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise Malformed(f"{where}: field {name!r} is not {_NAMES[wanted]}")


_NAMES: dict[type, str] = {str: "a string", int: "a whole number", dict: "an object", list: "a list", object: "a value"}


def one_of(found: Mapping[str, Any], where: str, names: tuple[str, ...], *, needed: bool = True) -> str | None:
    """Return the one of ``names`` that is there (None: none, where that is allowed).

    Raises:
        Malformed: none or several are there.
    """
    present = [name for name in names if name in found]
    if len(present) > 1:
        raise Malformed(f"{where}: {' and '.join(present)} exclude each other")
    if not present and needed:
        raise Malformed(f"{where}: one of {', '.join(names)} is needed")
    return present[0] if present else None
