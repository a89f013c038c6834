"""Names to complete, read straight from disk: no lock, no namespace, no record is opened but the image index."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.paths import Paths

_REFERENCE = "org.opencontainers.image.ref.name"


def _listing(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def container_names(paths: Paths) -> list[str]:
    """Return the names of all containers."""
    return _listing(paths.names("containers"))


def container_ids(paths: Paths) -> list[str]:
    """Return the ids of all containers."""
    return [entry for entry in _listing(paths.containers) if len(entry) == 64]


def image_names(paths: Paths) -> list[str]:
    """Return the names in the image store, in full and as people type them, and ``host``."""
    from rootless_pod import jsontext

    try:
        with open(f"{paths.image}/index.json", "rb") as file:
            index = jsontext.loads(file.read())
        entries = index["manifests"]
    except (OSError, ValueError, KeyError, TypeError):
        entries = []
    names = ["host"]
    for entry in entries if isinstance(entries, list) else ():
        name = (entry.get("annotations") or {}).get(_REFERENCE) if isinstance(entry, dict) else None
        if isinstance(name, str):
            names += {name, _familiar(name)}
    return names


def _familiar(name: str) -> str:
    for prefix in ("docker.io/library/", "docker.io/", "localhost/"):
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def command_words(incomplete: str) -> list[str]:
    """Return the first words of commands."""
    from rootless_pod.commands import index

    return [word for word in (*index.within(""), *index.groups_within("")) if word.startswith(incomplete)]


def candidates(what: str, incomplete: str, *, root: str | None = None, runroot: str | None = None) -> list[str]:
    """Return what ``incomplete`` may become: names of any of ``what`` (container, image, volume, network, command).

    Ids are offered once their beginning is typed. Whatever can't be read is left out: the shell must not be disturbed.
    """
    from rootless_pod.errors import RpodError
    from rootless_pod.paths import find_paths

    if what == "command":
        return command_words(incomplete)
    if what == "shell":
        return [shell for shell in ("bash", "fish", "zsh") if shell.startswith(incomplete)]
    try:
        paths = find_paths(root, runroot or "/nonexistent")
    except (RpodError, OSError):
        return []
    found: list[str] = []
    if "container" in what:
        found += container_names(paths)
        if incomplete:
            found += container_ids(paths)
    if "image" in what:
        found += image_names(paths)
    if "volume" in what:
        found += _listing(paths.volumes)
    if "network" in what:
        made = (name for name in _listing(paths.networks) if not name.startswith("."))
        found += ["podman", *[name.removesuffix(".json") for name in made]]
    return sorted({name for name in found if name.startswith(incomplete)})
