"""Where a helper program is."""

from __future__ import annotations

import os

_EXTRA = (
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
    "/usr/libexec/podman",
    "/usr/lib/podman",
)


def search_path() -> list[str]:
    """Return the directories searched: ``$RPOD_PROGRAM_PATH`` alone if set, else ``$PATH`` and the usual places."""
    only = os.environ.get("RPOD_PROGRAM_PATH")
    if only is not None:
        return [directory for directory in only.split(":") if directory]
    found = [directory for directory in os.environ.get("PATH", "").split(":") if directory.startswith("/")]
    return found + [directory for directory in _EXTRA if directory not in found]


def find_program(name: str) -> str | None:
    """Return the path of the program ``name`` (kept as it is if it has a slash), or None."""
    if "/" in name:
        return name if os.access(name, os.X_OK) else None
    for directory in search_path():
        path = f"{directory}/{name}"
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None
