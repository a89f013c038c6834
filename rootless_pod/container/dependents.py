"""Which containers need which: by ``--requires``, or because they share a namespace. HOT.

A container that needs another stands as an empty file ``dependents/ID`` in the other's directory, put there before its
own record is written and under the other's lock. A name whose container is gone counts for nothing.
"""

from __future__ import annotations

import os

from rootless_pod.errors import Conflict
from rootless_pod.state.containers import ContainerLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless_pod.container.context import Context
    from rootless_pod.paths import Paths


def dependents_of(paths: Paths, container_id: str) -> list[str]:
    """Return the ids of the containers that need this one."""
    try:
        names = os.listdir(f"{paths.container(container_id)}/dependents")
    except OSError:
        return []
    return [name for name in names if os.path.isdir(paths.container(name))]


def add(paths: Paths, container_id: str, needed: Iterable[str]) -> None:
    """Write down that a container that is being made needs others.

    Raises:
        NotFound: one of them was removed meanwhile.
    """
    for other in needed:
        with ContainerLock(paths, other):
            directory = f"{paths.container(other)}/dependents"
            os.makedirs(directory, mode=0o700, exist_ok=True)
            os.close(os.open(f"{directory}/{container_id}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def drop(paths: Paths, container_id: str, needed: Iterable[str]) -> None:
    """Forget what ``add`` wrote; idempotent."""
    for other in needed:
        try:
            os.unlink(f"{paths.container(other)}/dependents/{container_id}")
        except OSError:
            continue


def refuse_if_needed(paths: Paths, container_id: str) -> None:
    """Raise if a container is needed by others, which have to be removed first; ``force`` changes nothing.

    Raises:
        Conflict: it is.
    """
    needed_by = dependents_of(paths, container_id)
    if needed_by:
        raise Conflict(
            f"container {container_id} has dependent containers which must be removed before it: "
            f"{', '.join(sorted(needed_by))}",
            remedy=f"remove them as well: rpod rm --depend {container_id[:12]}",
        )


def dependents_first(paths: Paths, ids: Iterable[str], *, add_missing: bool = False) -> list[list[str]]:
    """Return ``ids`` in groups: a container stands in a later one than those that need it, else in their order.

    ``add_missing``: with all that need them.
    """
    allowed = list(ids)
    levels: dict[str, int] = {}

    def level(container_id: str) -> int:
        if container_id not in levels:
            needed_by = [one for one in dependents_of(paths, container_id) if add_missing or one in allowed]
            levels[container_id] = 1 + max((level(one) for one in needed_by), default=-1)
        return levels[container_id]

    for one in allowed:
        level(one)
    groups: list[list[str]] = [[] for _ in range(max(levels.values(), default=-1) + 1)]
    for container_id, number in levels.items():
        groups[number].append(container_id)
    return groups


def start_needed(context: Context, needed: Iterable[str]) -> None:
    """Start what a container needs and does not run, what that needs first; the caller holds no lock.

    Raises:
        RpodError: one of them can't be started.
    """
    from rootless_pod.container.lookup import read
    from rootless_pod.container.start import start

    for other in needed:
        container = read(context.paths, other)
        if container.status.is_running and not container.status.lost:
            continue
        start_needed(context, container.config.dependencies)
        with ContainerLock(context.paths, other):
            if not read(context.paths, other).status.is_running:
                start(context, container.config)


def check_needed(paths: Paths, container_id: str, needed: Iterable[str]) -> None:
    """Raise if something a container needs does not run.

    Raises:
        Conflict: it does not.
        NotFound: it is gone.
    """
    from rootless_pod.container.lookup import read

    missing = [other for other in needed if not read(paths, other).status.is_running]
    if missing:
        raise Conflict(
            f"some dependencies of container {container_id} are not started: {', '.join(missing)}",
            remedy=f"start it with what it needs: rpod start {container_id[:12]}",
        )
