"""One JSON object from outside, read field by field; a wrong field is named in the error."""

from __future__ import annotations

from rootless_pod import jsontext
from rootless_pod.errors import Corrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LARGEST = 2**63 - 1


def _is_clean(text: str) -> bool:
    """Tell whether the kernel can take ``text``: no NUL, no lone surrogate."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Document:
    """A JSON object with the path to it (``manifest.layers[2]``). ``null`` counts as absent."""

    __slots__ = ("_fields", "where")

    def __init__(self, value: Any, where: str) -> None:
        """Hold ``value``.

        Raises:
            Corrupt: it is not an object.
        """
        if not isinstance(value, dict):
            raise Corrupt(f"{where} is not a JSON object")
        self._fields: dict[str, Any] = value
        self.where = where

    @classmethod
    def parse(cls, data: bytes, where: str) -> Document:
        """Parse ``data`` (UTF-8, a byte order mark is not allowed).

        Raises:
            Corrupt: it is not one JSON object.
        """
        try:
            value = jsontext.loads(data)
        except ValueError as cause:
            raise Corrupt(f"{where} is not JSON: {cause}") from cause
        return cls(value, where)

    def __contains__(self, name: str) -> bool:
        """Tell whether ``name`` is there and not null."""
        return self._fields.get(name) is not None

    def fault(self, name: str, problem: str) -> Corrupt:
        """Return the error that says what is wrong with field ``name``."""
        return Corrupt(f"{self.where}.{name} {problem}")

    def optional_text(self, name: str) -> str | None:
        """Return a string, or None where the field is absent."""
        value = self._fields.get(name)
        if value is None:
            return None
        return self._text(name, value)

    def text(self, name: str, default: str = "") -> str:
        """Return a string, or ``default`` where the field is absent."""
        value = self._fields.get(name)
        return default if value is None else self._text(name, value)

    def _text(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise self.fault(name, "is not a string")
        if not _is_clean(value):
            raise self.fault(name, "holds a NUL or a character that is not UTF-8")
        return value

    def integer(self, name: str) -> int:
        """Return a required whole number from 0 to 2**63-1."""
        value = self._fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.fault(name, "is missing" if value is None else "is not a whole number")
        if not 0 <= value <= _LARGEST:
            raise self.fault(name, f"is out of range: {value}")
        return value

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Return a list of strings; a lone string counts as a list of one, as Docker's own reader takes it."""
        value = self._fields.get(name)
        if value is None:
            return None
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list):
            raise self.fault(name, "is not a list of strings")
        return tuple(self._text(f"{name}[{position}]", item) for position, item in enumerate(value))

    def mapping(self, name: str) -> dict[str, str]:
        """Return an object whose values are strings (null becomes the empty string)."""
        return {
            key: "" if value is None else self._text(f"{name}[{key!r}]", value)
            for key, value in self._object(name).items()
        }

    def keys(self, name: str) -> tuple[str, ...]:
        """Return the keys of an object used as a set (``{"80/tcp": {}}``), in order."""
        return tuple(self._object(name))

    def _object(self, name: str) -> dict[str, Any]:
        value = self._fields.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.fault(name, "is not a JSON object")
        for key in value:
            self._text(f"{name} (a key)", key)
        return value

    def raw_object(self, name: str) -> dict[str, Any] | None:
        """Return an object as it is, or None where the field is absent."""
        return self._object(name) if self._fields.get(name) is not None else None

    def child(self, name: str) -> Document | None:
        """Return the object ``name``, or None where the field is absent."""
        value = self._fields.get(name)
        return None if value is None else Document(value, f"{self.where}.{name}")

    def children(self, name: str) -> tuple[Document, ...]:
        """Return a list of objects (empty where the field is absent)."""
        value = self._fields.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.fault(name, "is not a list")
        return tuple(Document(item, f"{self.where}.{name}[{position}]") for position, item in enumerate(value))

    def plain(self) -> dict[str, Any]:
        """Return the object itself."""
        return self._fields
