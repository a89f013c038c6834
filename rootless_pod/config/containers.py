"""containers.conf and storage.conf: which files count, in which order, and what they say together. HOT.

Source: containers.conf(5), containers-storage.conf(5).
"""

from __future__ import annotations

import os

from rootless_pod.config.search import SYSTEM, drop_ins, user_config
from rootless_pod.config.storage import find_file
from rootless_pod.config.tables import read_tables
from rootless_pod.errors import NotFound, Usage
from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_NAME = "containers.conf"
_ROOTLESS = "containers.rootless.conf"
_STORAGE_VARIABLES = {"STORAGE_DRIVER": "storage.driver", "STORAGE_OPTS": "storage.opts"}


class Settings(Frozen):
    """Everything the files say: key → (value, the file or variable it is from). The last file wins."""

    values: dict[str, tuple[Any, str]] = {}
    files: tuple[str, ...] = ()

    def value(self, key: str) -> Any:
        """Return the value of ``key``, None where no file has it."""
        found = self.values.get(key)
        return found[0] if found is not None else None

    def origin(self, key: str) -> str:
        """Return the file or variable that ``key`` is from, or ""."""
        found = self.values.get(key)
        return found[1] if found is not None else ""

    def text(self, key: str) -> str:
        """Return a text ("" where no file has it).

        Raises:
            Usage: it is another type.
        """
        value = self.value(key)
        if value is None or isinstance(value, str):
            return value or ""
        raise Usage(f"{self.origin(key)}: {key} is no text", remedy="correct the file")

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts.

        Raises:
            Usage: it is another type.
        """
        value = self.value(key)
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
        raise Usage(f"{self.origin(key)}: {key} is no list of texts", remedy="correct the file")


def is_configured(modules: Sequence[str] = ()) -> bool:
    """Tell whether any file, module or variable configures something."""
    return bool(find_files(modules) or find_file() or any(os.environ.get(name) for name in _STORAGE_VARIABLES))


def find_files(modules: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the containers.conf files that are there, weakest first.

    ``$CONTAINERS_CONF`` stands for all of them; modules and ``$CONTAINERS_CONF_OVERRIDE`` come last.

    Raises:
        NotFound: there is no such module.
    """
    named = os.environ.get("CONTAINERS_CONF")
    files = [named] if named else _layers()
    files += [_module(one) for one in modules]
    override = os.environ.get("CONTAINERS_CONF_OVERRIDE")
    return (*files, override) if override else tuple(files)


def _layers() -> list[str]:
    files = []
    for directory in (*SYSTEM, user_config()):
        for name in (_NAME, _ROOTLESS) if directory in SYSTEM else (_NAME,):
            main = f"{directory}/{name}"
            if os.path.exists(main):
                files.append(main)
            files += [f"{main}.d/{one}" for one in sorted(drop_ins(f"{main}.d"))]
    return files


def _module(name: str) -> str:
    places = [name] if name.startswith("/") else [f"{place}/{_NAME}.modules/{name}" for place in _module_places()]
    found = next((path for path in places if os.path.isfile(path)), None)
    if found is None:
        raise NotFound(f"there is no module {name!r} of {_NAME}", remedy=f"put it at {places[0]}")
    return found


def _module_places() -> tuple[str, ...]:
    return (user_config(), *SYSTEM[::-1])


def read_settings(
    containers_files: Sequence[str], storage_file: str | None = None, *, cache: str | None = None
) -> Settings:
    """Return what the files say together with storage.conf (``storage_file``: that instead of the search for it).

    Raises:
        Usage: a file can't be read or understood.
    """
    storage = find_file() if storage_file is None else storage_file
    files = (*containers_files, *([storage] if storage else []))
    values: dict[str, tuple[Any, str]] = {}
    appending: set[str] = set()
    for path, table in zip(files, read_tables(files, cache), strict=True):
        for key, value in table.items():
            values[key] = (_joined(key, value, values.get(key), appending), path)
    for variable, key in _STORAGE_VARIABLES.items():
        given = os.environ.get(variable)
        if given:
            values[key] = (given, f"${variable}")
    return Settings(values=values, files=files)


def _joined(key: str, value: Any, before: tuple[Any, str] | None, appending: set[str]) -> Any:
    """Return a list together with the one of an earlier file, where ``{append=true}`` is among its members."""
    if not isinstance(value, list):
        return value
    for one in value:
        if isinstance(one, dict) and "append" in one:
            appending.discard(key)
            if one["append"]:
                appending.add(key)
    members = [one for one in value if not (isinstance(one, dict) and "append" in one)]
    if key in appending and before is not None and isinstance(before[0], list):
        return [*before[0], *members]
    return members
