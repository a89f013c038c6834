"""Containers whose records can't be read: shown, never in the way of the others, removed or mended.

``container.json`` can't be made again: what a container was created as stands nowhere else. ``state.json`` is a claim
that can: what it would have named is found by the container's id, ended and put away.
"""

from __future__ import annotations

import os

from rootless_pod.container import status as states
from rootless_pod.container.record import ContainerConfig, config_from
from rootless_pod.container.request import ContainerRequest
from rootless_pod.container.status import Status
from rootless_pod.errors import Corrupt, NotFound
from rootless_pod.state import containers
from rootless_pod.state.containers import ContainerLock, write_state
from rootless_pod.state.record import NewerRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.errors import RpodError
    from rootless_pod.paths import Paths

_LOCKS = frozenset({"lock", "foreground"})
MENDED_TEXT = "its state was damaged and is made anew"


def is_unborn(directory: str) -> bool:
    """Tell whether a directory without ``container.json`` never was one: it holds only what comes before that."""
    try:
        return all(name in _LOCKS or name.startswith((".", "secret-")) for name in os.listdir(directory))
    except OSError:
        return True


def stand_in(paths: Paths, container_id: str, error: RpodError) -> Container | None:
    """Return a container to show instead of the one that could not be read because of ``error``; None: it is none."""
    from rootless_pod.container.lookup import Container

    directory = paths.container(container_id)
    if isinstance(error, NotFound) and is_unborn(directory):
        return None
    try:
        config = config_from(containers.read_container(paths, container_id))
    except (NotFound, Corrupt):
        config = ContainerConfig(
            id=container_id,
            name=name_of(paths, container_id),
            created_ns=_made_ns(directory),
            request=ContainerRequest(),
        )
    return Container(config=config, state={}, status=Status(name=states.UNKNOWN, error=_words(error)))


def _words(error: RpodError) -> str:
    if isinstance(error, NewerRecord):
        return "made by a newer rpod"
    return "container.json is gone" if isinstance(error, NotFound) else error.message


def _made_ns(directory: str) -> int:
    try:
        return os.stat(directory).st_mtime_ns
    except OSError:
        return 0


def name_of(paths: Paths, container_id: str) -> str:
    """Return the name reserved for an id, or the beginning of the id."""
    directory = paths.names("containers")
    for name in os.listdir(directory):
        try:
            if os.readlink(f"{directory}/{name}") == container_id:
                return name
        except OSError:
            continue
    return container_id[:12]


def mend(context: Context, container_id: str) -> bool:
    """Make a container whose ``state.json`` is damaged one that has exited; return whether it can be read now.

    Whatever of it runs is ended: nobody could say any more how it is put away.
    """
    from rootless_pod.container.lookup import read

    paths = context.paths
    try:
        with ContainerLock(paths, container_id):
            containers.read_container(paths, container_id)
            try:
                read(paths, container_id)
            except NewerRecord:
                return False
            except Corrupt:
                end_all(context, container_id)
                state = {"status": states.EXITED, "exit_code": states.UNKNOWN_EXIT, "error": MENDED_TEXT}
                write_state(paths, container_id, state)
        read(paths, container_id)
    except (NotFound, Corrupt):
        return False
    return True


def end_all(context: Context, container_id: str) -> None:
    """End and put away what bears a container's id, without its records; the caller holds its lock, or needs none."""
    from rootless_pod.container.cleanup import attempt, drop_bundle, release_volumes
    from rootless_pod.container.interrupted import belonging, end_process, remove_named_cgroup
    from rootless_pod.container.remove import unmount_below
    from rootless_pod.linux import procfs
    from rootless_pod.linux.tree import remove_tree
    from rootless_pod.network.netns import remove_netns

    paths = context.paths
    try:
        state = containers.read_state(paths, container_id)
    except Corrupt:
        state = {}
    monitors, first = belonging(paths, container_id), _number_in(f"{paths.bundle(container_id)}/pidfile")
    started = procfs.start_time(first) if first and _is_child_of(first, monitors) else None
    for pid in monitors:  # they first: a monitor would tell of the end to records that can't be read
        end_process(pid, None)
    if started is not None:
        end_process(first, started)
    end_process(state.get("pid", 0), state.get("pid_started") or 0)
    remove_named_cgroup(paths, container_id)
    unmount_below(paths.container(container_id))
    if os.path.lexists(f"{paths.netns}/{container_id}"):
        attempt(remove_netns, f"{paths.netns}/{container_id}")
    if os.path.isdir(paths.leases):
        from rootless_pod.network.named import leave

        attempt(leave, paths, container_id)
    for runtime in os.listdir(paths.runtime_root):
        if os.path.isdir(f"{paths.runtime_root}/{runtime}/{container_id}"):
            attempt(remove_tree, f"{paths.runtime_root}/{runtime}/{container_id}")
    release_volumes(paths, container_id)
    drop_bundle(context, container_id)


def _number_in(path: str) -> int:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read(32).strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


def _is_child_of(pid: int, parents: list[int]) -> bool:
    """Tell whether the first process still is its monitor's: a number in a file may be somebody else's by now."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            parent = int(file.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return False
    return parent in parents
