"""TOML files as flat tables (``containers.log_driver`` → value), parsed once for as long as they stay the same. HOT.

Reading TOML takes Python several milliseconds with its imports, so what was read is kept as JSON in the runtime
directory, with time, size and inode of its file. Nothing depends on that file: it may vanish or be unwritable.
"""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import Usage
from rootless_pod.modulecache import private_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Table = dict[str, Any]

_CACHE_NAME = "configuration.json"


def read_tables(files: Sequence[str], cache: str | None = None) -> list[Table]:
    """Return the flat table of each file, in order. ``cache`` stands in for the file of the runtime directory.

    Raises:
        Usage: a file can't be read, or is not TOML.
    """
    cache = _cache_path() if cache is None else cache
    kept = _kept(cache)
    changed = False
    tables = []
    for path in files:
        mark = _mark(path)
        entry = kept.get(path)
        if not isinstance(entry, list) or entry[:-1] != mark:
            entry = [*mark, _parse(path, tell=bool(cache))]
            kept[path] = entry
            changed = True
        tables.append(entry[-1])
    if changed and cache:
        _keep(cache, kept)
    return tables


def _cache_path() -> str:
    directory = private_directory(make=True)
    return f"{directory}/{_CACHE_NAME}" if directory else ""


def _mark(path: str) -> list[int]:
    try:
        found = os.stat(path)
    except OSError as cause:
        raise Usage(f"configuration file {path} cannot be read: {cause.strerror}", remedy=_remedy(path)) from cause
    return [found.st_mtime_ns, found.st_size, found.st_ino]


def _remedy(path: str) -> str:
    variables = ("CONTAINERS_CONF", "CONTAINERS_CONF_OVERRIDE", "CONTAINERS_STORAGE_CONF")
    named = next((name for name in variables if os.environ.get(name) == path), None)
    return f"correct ${named}" if named else "correct the file"


def _kept(cache: str) -> dict[str, Any]:
    try:
        with open(cache, "rb") as file:
            kept = jsontext.loads(file.read())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _keep(cache: str, kept: dict[str, Any]) -> None:
    """Write what was read anew; files that are gone are forgotten, since every command reads all of this."""
    kept = {path: entry for path, entry in kept.items() if os.path.exists(path)}
    temporary = f"{cache}.{os.getpid()}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, jsontext.dumps(kept).encode())
        finally:
            os.close(fd)
        os.rename(temporary, cache)
    except OSError:
        return


def _parse(path: str, *, tell: bool) -> Table:
    """Parse one file and name the keys nobody knows: once, since the table is kept (``tell``: it will be)."""
    import tomllib

    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except OSError as cause:
        raise Usage(f"configuration file {path} cannot be read: {cause.strerror}", remedy=_remedy(path)) from cause
    except (ValueError, RecursionError) as cause:
        raise Usage(f"configuration file {path} is not TOML: {cause}", remedy=_remedy(path)) from cause
    flat = _flat(table)
    from rootless_pod import log
    from rootless_pod.config.known import is_known

    unknown = [key for key in flat if not is_known(key)]
    if unknown:
        say = log.warn if tell else log.debug
        say(f"{path}: nobody knows {', '.join(unknown)}; a key misspelt has no effect")
    return flat


def _flat(table: Table, prefix: str = "") -> Table:
    flat: Table = {}
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            flat.update(_flat(value, f"{key}."))
        else:
            flat[key] = _plain(value)
    return flat


def _plain(value: Any) -> Any:
    """Return a value JSON can hold: dates of TOML become text."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value if isinstance(value, (str, int, float, bool)) else str(value)
