"""Frozen records as JSON and back: fields that hold their default are left out. HOT."""

from __future__ import annotations

from rootless_pod.errors import Corrupt
from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_KIND = "@"


def to_plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it; a record becomes an object whose ``@`` names its class."""
    if isinstance(value, Frozen):
        defaults = type(value)._defaults  # noqa: SLF001 - the record's own metaclass put them there
        plain: dict[str, Any] = {_KIND: type(value).__name__}
        for field, item in value.as_dict().items():
            if field not in defaults or defaults[field] != item:
                plain[field] = to_plain(item)
        return plain
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    return value


def from_plain(plain: Any, class_named: Callable[[str], type[Frozen] | None]) -> Any:
    """Return what ``to_plain`` was given; lists come back as tuples, unknown fields of older records are dropped.

    Raises:
        Corrupt: ``class_named`` does not know a class, or a field is missing.
    """
    if isinstance(plain, list):
        return tuple(from_plain(item, class_named) for item in plain)
    if not isinstance(plain, dict):
        return plain
    kind = plain.get(_KIND)
    if kind is None:
        return {key: from_plain(item, class_named) for key, item in plain.items()}
    found = class_named(str(kind))
    if found is None:
        raise Corrupt(f"record holds an unknown kind {kind!r}")
    fields = found._fields
    try:
        return found(**{key: from_plain(item, class_named) for key, item in plain.items() if key in fields})
    except TypeError as cause:
        raise Corrupt(f"record is incomplete: {cause}") from cause
