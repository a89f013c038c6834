"""What containers take and hold: bytes on the disk, images, volumes, networks."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless_pod.container.lookup import Container
    from rootless_pod.paths import Paths


def volumes_in_use(found: Iterable[Container]) -> dict[str, tuple[str, ...]]:
    """Return for each volume the ids of the containers that mount it."""
    users: dict[str, tuple[str, ...]] = {}
    for container in found:
        for name in volumes_of(container):
            users[name] = (*users.get(name, ()), container.id)
    return users


def volumes_of(container: Container) -> tuple[str, ...]:
    """Return the names of the volumes a container mounts, its anonymous ones included."""
    asked = [one.source for one in container.config.request.mounts if one.kind == "volume" and one.source]
    anonymous = (container.state.get("anonymous_volumes") or {}).values()
    mounted = [
        row["Name"] for row in container.state.get("mounts", ()) if row.get("Type") == "volume" and "Name" in row
    ]
    return tuple(dict.fromkeys((*asked, *anonymous, *mounted)))


def networks_in_use(found: Iterable[Container]) -> dict[str, tuple[str, ...]]:
    """Return for each named network the ids of the containers that are in it, running or not."""
    users: dict[str, tuple[str, ...]] = {}
    for container in found:
        for name in networks_of(container):
            users[name] = (*users.get(name, ()), container.id)
    return users


def networks_of(container: Container) -> tuple[str, ...]:
    """Return the names of the networks a container's record says it is in."""
    return tuple(join.network for join in container.config.request.network.joins)


def size_of_container(paths: Paths, container: Container) -> int:
    """Return how many bytes a container's own files take; with the driver ``copy`` that is its whole tree."""
    directory = paths.container(container.id)
    return size_of_tree(f"{directory}/upper") + size_of_tree(f"{directory}/copy")


def size_of_tree(path: str) -> int:
    """Return the sum of the sizes of regular files below ``path``, each once; 0 where there is nothing."""
    total = 0
    seen: set[tuple[int, int]] = set()
    waiting = [path]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listing:
                for entry in listing:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        found = entry.stat(follow_symlinks=False)
                        if found.st_nlink == 1 or (found.st_dev, found.st_ino) not in seen:
                            total += found.st_size
                        if found.st_nlink > 1:
                            seen.add((found.st_dev, found.st_ino))
        except OSError:
            continue
    return total
