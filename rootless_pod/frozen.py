"""A frozen, slotted, keyword-only record class that costs no import.

``dataclasses`` takes about 20 ms to import, more than a whole hot command may
spend.  ``class Point(Frozen): x: int; y: int = 0`` gives the same for a type
checker (``dataclass_transform``) and a plain slotted class at run time.
The defining module needs ``from __future__ import annotations``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_options: object) -> Any:
        """Stand in for ``typing.dataclass_transform`` at run time."""
        return lambda cls: cls


@dataclass_transform(kw_only_default=True, frozen_default=True)
class _FrozenType(type):
    """Turn the annotations of a class body into slots and remembered defaults."""

    _fields: tuple[str, ...]
    _defaults: dict[str, Any]

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        fields: list[str] = []
        defaults: dict[str, Any] = {}
        for parent in reversed(bases):
            fields += [field for field in getattr(parent, "_fields", ()) if field not in fields]
            defaults.update(getattr(parent, "_defaults", {}))
        own = [
            field
            for field, annotation in body.get("__annotations__", {}).items()
            if not str(annotation).startswith("ClassVar")
        ]
        for field in own:
            if field in body:
                defaults[field] = body.pop(field)
        body["__slots__"] = tuple(field for field in own if field not in fields)
        body["_fields"] = tuple(fields + [field for field in own if field not in fields])
        body["_defaults"] = defaults
        body["__match_args__"] = ()
        return super().__new__(mcs, name, bases, body)


class Frozen(metaclass=_FrozenType):
    """Base of every record; see the module's text."""

    if TYPE_CHECKING:
        _fields: ClassVar[tuple[str, ...]]
        _defaults: ClassVar[dict[str, Any]]

    def __init__(self, **values: Any) -> None:
        """Set each field once; an unknown or missing field is a ``TypeError``."""
        defaults = self._defaults
        put = object.__setattr__
        for field in self._fields:
            if field in values:
                put(self, field, values.pop(field))
            elif field in defaults:
                put(self, field, defaults[field])
            else:
                raise TypeError(f"{type(self).__name__}: missing field {field!r}")
        if values:
            raise TypeError(f"{type(self).__name__}: unknown field {next(iter(values))!r}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot delete {name!r}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, field) for field in self._fields))

    def __repr__(self) -> str:
        inner = ", ".join(f"{field}={getattr(self, field)!r}" for field in self._fields)
        return f"{type(self).__name__}({inner})"

    def __getstate__(self) -> dict[str, Any]:
        return self.as_dict()

    def __setstate__(self, state: dict[str, Any]) -> None:
        for field, value in state.items():
            object.__setattr__(self, field, value)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and values, one level deep, in order of declaration."""
        return {field: getattr(self, field) for field in self._fields}

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return type(self)(**{**self.as_dict(), **changes})
