"""Aliases of short names that the user chose at a prompt; podman, buildah and skopeo use the same file.

Source: containers-registries.conf(5), "SHORT-NAME ALIASING": ``$XDG_CACHE_HOME/containers/short-name-aliases.conf``.
"""

from __future__ import annotations

import os

from rootless_pod.config.search import home
from rootless_pod.errors import Usage

_HEADING = "[aliases]\n"


def alias_file() -> str:
    """Return the file's path, whether it exists or not."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    base = cache if cache.startswith("/") else f"{home()}/.cache"
    return f"{base}/containers/short-name-aliases.conf"


def read_aliases(path: str) -> dict[str, str]:
    """Return short name → full name (raises Usage where the file is damaged)."""
    import tomllib

    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (OSError, ValueError, RecursionError) as cause:
        raise Usage(f"cannot read {path}: {cause}", remedy=f"mend or remove {path}") from cause
    aliases = table.get("aliases", {})
    if not isinstance(aliases, dict) or not all(isinstance(value, str) for value in aliases.values()):
        raise Usage(f"{path}: aliases must map names to names", remedy=f"mend or remove {path}")
    return aliases


def record_alias(path: str, short: str, full: str) -> None:
    """Keep that ``short`` (no tag) means ``full`` (no tag); a file that can't be written is left as it is."""
    import fcntl

    directory = os.path.dirname(path)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        aliases = {**read_aliases(path), short: full}
        # Names have no quotes or backslashes in them: these are valid basic strings.
        text = _HEADING + "".join(f'  "{name}" = "{value}"\n' for name, value in aliases.items())
        temporary = f"{path}.{os.getpid()}.tmp"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(temporary, path)
    except OSError:
        return
    finally:
        os.close(lock)
