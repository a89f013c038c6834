"""Put away what a container used while it ran. Safe at any moment, by any process, any number of times. HOT.

The foreground command and the monitor's exit command both come here; the container's lock makes one of them first,
and the other finds nothing left to do.
"""

from __future__ import annotations

import os

from rootless_pod import log
from rootless_pod.container import status as states
from rootless_pod.container.dependents import dependents_of
from rootless_pod.container.lookup import read
from rootless_pod.container.tell import tell
from rootless_pod.errors import NotFound, RpodError
from rootless_pod.linux import procfs
from rootless_pod.state.containers import ContainerLock, write_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.container.status import Status
    from rootless_pod.paths import Paths

EXIT_FILE_KEPT_SECONDS = 300
EXIT_FILES_KEPT = 512


def cleanup(context: Context, container_id: str, *, remove: bool = False) -> Status | None:
    """Settle a container that has ended; with ``remove`` also remove it, unless another needs it.

    Return its status (None: it is gone).

    One that is to come back (its restart policy, a health check) is left to a process that starts it again.
    A running container is left alone, but for the process that watches its health: a lost one is replaced.
    """
    try:
        with ContainerLock(context.paths, container_id):
            container = read(context.paths, container_id)
            status = container.status
            remove = remove and not dependents_of(context.paths, container_id)
            under_way = container.state.get("status") in states.UNDER_WAY
            comes_back = may_come_back(container)
            if remove and status.unsettled and not status.lost and not under_way and not comes_back:
                # It goes at once: no final state is written for nobody to read.
                release(context, container)
                _tell_end(context, container, status)
            else:
                container = settle(context, container)
            if comes_back and container.state.get("restart"):
                from rootless_pod.container.restart_policy import launch

                return launch(context, container).status
            if container.config.request.health is not None and container.status.name == states.RUNNING:
                from rootless_pod.container.health_watch import watch

                watch(context, container_id)
            if remove and not container.status.is_made:
                from rootless_pod.container.remove import take_away

                take_away(context, container, volumes=True)
    except NotFound:
        return None
    if container.config.pod_id and not container.status.is_running:
        from rootless_pod.container.pod.ending import member_ended

        member_ended(context, container.config)
    return container.status


def restart(context: Context, container_id: str) -> None:
    """Start a container again whose restart is due; one that is not, or is gone, is left alone."""
    from rootless_pod.container.restart_policy import make, start_infra

    try:
        start_infra(context, read(context.paths, container_id))
        with ContainerLock(context.paths, container_id):
            make(context, settle(context, read(context.paths, container_id)))
    except NotFound:
        return


def settle(context: Context, container: Container) -> Container:
    """Bring the record up to what really happened; the caller holds the lock. Idempotent.

    A container whose monitor was killed is ended: nobody could say how it ends otherwise (as podman does).
    """
    claim = container.state.get("status")
    if claim in states.UNDER_WAY or (claim == states.INITIALIZED and container.status.started_ns):
        container = _settle_start(context, container)
    status = container.status
    if status.lost:
        from rootless_pod.container.interrupted import end_process

        log.debug(f"ending container {container.id[:12]}: its monitor was killed")
        end_process(container.state.get("pid", 0), container.state.get("pid_started") or 0)
        status = states.status_of(context.paths, container.id, container.state)
    if not status.unsettled:
        return container
    return _put_away(context, container, status)


def read_settled(context: Context, container_id: str) -> Container:
    """Return the container; one whose start is under way, once that is over."""
    container = read(context.paths, container_id)
    if container.state.get("status") not in states.UNDER_WAY:
        return container
    with ContainerLock(context.paths, container_id):
        return settle(context, read(context.paths, container_id))


def _settle_start(context: Context, container: Container) -> Container:
    """Decide on a start whose starter is dead (we hold its lock): what has begun goes on, the rest is ended."""
    if container.state.get("boot_id") != context.paths.boot_id:
        return container
    if container.status.started_ns and container.state.get("status") != states.STARTING:
        begun = {**container.state, "status": states.RUNNING, "started_ns": container.status.started_ns}
        begun.pop("restart", None)
        write_state(context.paths, container.id, begun)
    elif os.path.isdir(context.paths.bundle(container.id)):
        from rootless_pod.container.interrupted import end_start

        end_start(context, container)
    return read(context.paths, container.id)


def _put_away(context: Context, container: Container, status: Status) -> Container:
    """Free the runtime's state, the network, the mounts and the bundle, then write the final state."""
    final = final_state(context, container, status)
    release(context, container)
    write_state(context.paths, container.id, final)
    _tell_end(context, container, status)
    drop_bundle(context, container.id)
    return read(context.paths, container.id)


def _tell_end(context: Context, container: Container, status: Status) -> None:
    """Write what happened into the event log; what ended with the last boot is not news of this one."""
    if container.state.get("boot_id") != context.paths.boot_id:
        return
    if status.name == states.EXITED and container.state.get("status") != states.STARTING:
        tell(context.paths, container.config, "died", exit_code=status.exit_code)
    tell(context.paths, container.config, "cleanup")


def final_state(context: Context, container: Container, status: Status) -> dict[str, Any]:
    """Return the state to keep for a container that ended: its code, and when the exit file was born."""
    from rootless_pod.ctime.birth import birth_time

    finished_ns = status.finished_ns
    if status.name == states.EXITED and not container.state.get("before"):
        try:
            finished_ns = birth_time(f"{context.paths.exits}/{container.id}").ns
        except OSError:
            import time

            finished_ns = finished_ns or time.time_ns()
    final = {
        "status": status.name,
        "driver": container.state.get("driver", ""),
        "started_ns": status.started_ns,
        "finished_ns": finished_ns,
        "exit_code": status.exit_code if status.name == states.EXITED else 0,
        "oom": status.oom,
        "error": status.error or container.state.get("error", ""),
        "restarts": container.state.get("restarts", 0),
        "anonymous_volumes": container.state.get("anonymous_volumes") or {},
        "mounts": container.state.get("mounts", []),
        "stopped_by_user": container.state.get("stopped_by_user", False),
    }
    if may_come_back(container):
        from rootless_pod.container.restart_policy import note

        note(context, container, final, status)
    return final


def may_come_back(container: Container) -> bool:
    """Tell whether somebody but the user may start the container again after its end."""
    policy = container.config.request.restart_policy
    return policy not in ("", "no") or bool(container.state.get("restart_wanted") or container.state.get("restart"))


def release(context: Context, container: Container) -> None:
    """Undo every part of a start, each by itself: one that fails does not keep the others."""
    for part in (_delete_from_runtime, _detach_network, _unmount):
        attempt(part, context, container)
    if any(one.kind == "image" for one in container.config.request.mounts):
        from rootless_pod.container.image_mounts import unmount_all

        attempt(unmount_all, context.paths, container.id)
    release_volumes(context.paths, container.id)


def release_volumes(paths: Paths, container_id: str) -> None:
    """Unmount the volumes of other drivers that nobody but this container uses; idempotent."""
    if os.path.isdir(f"{paths.volume_users}/{container_id}"):
        from rootless_pod.volumes.mounted import let_go_all

        attempt(let_go_all, paths, container_id)


def attempt(step: Callable[..., Any], *arguments: Any) -> None:
    """Run ``step``; say a failure only to those who debug: what is left is swept later."""
    try:
        step(*arguments)
    except (RpodError, OSError) as cause:
        log.debug(f"{step.__name__.strip('_')}: {cause}")


def _delete_from_runtime(context: Context, container: Container) -> None:
    name = os.path.basename(container.state.get("runtime") or "")
    directory = f"{context.paths.runtime_root}/{name}/{container.id}"
    if not name or not os.path.isdir(directory):
        _remove_cgroup(container)
        return
    pid, started = container.state.get("pid", 0), container.state.get("pid_started")
    idle = started is not None and not procfs.is_alive(pid, started) and not container.state.get("hooks")
    if idle and _remove_cgroup(container):
        # Nothing lives in it: its directory is all the runtime would remove, and calling it costs 5 ms.
        from rootless_pod.linux.tree import remove_tree

        remove_tree(directory)
        return
    from rootless_pod.container.drivers import runtime_of

    runtime_of(context, container.state).delete(container.id, force=True)
    _remove_cgroup(container)
    if container.state.get("hooks"):
        from rootless_pod.container.hooks import warn_of_hooks

        warn_of_hooks(context.paths.bundle(container.id), "poststop")


def _remove_cgroup(container: Container) -> bool:
    """Remove the container's own cgroup, if it has one; return whether it is gone.

    The last processes of its pid namespace may be on their way out: they are waited for a moment, then ended.
    """
    path = container.state.get("cgroup")
    if not path:
        return True
    from rootless_pod.linux.cgroup import remove_cgroup

    if remove_cgroup(path):
        return True
    from rootless_pod.container.interrupted import end_cgroup

    return end_cgroup(path)


def _detach_network(context: Context, container: Container) -> None:
    from rootless_pod.network.attach import detach
    from rootless_pod.network.status import NetworkStatus

    record = container.state.get("network")
    if record:
        detach(NetworkStatus.from_json(record))
    elif os.path.lexists(f"{context.paths.netns}/{container.id}"):
        from rootless_pod.network.netns import remove_netns

        remove_netns(f"{context.paths.netns}/{container.id}")
    if container.config.request.network.mode == "bridge":
        from rootless_pod.network.named import leave

        leave(context.paths, container.id)


def _unmount(context: Context, container: Container) -> None:
    from rootless_pod.container.drivers import unmount

    unmount(context, container)


def drop_bundle(context: Context, container_id: str) -> None:
    """Remove the bundle directory, and exit files nobody can want any more."""
    from rootless_pod.linux.tree import remove_tree

    bundle = context.paths.bundle(container_id)
    if os.path.isdir(bundle):
        if os.path.isdir(f"{bundle}/shm"):
            from rootless_pod.container.sharedmemory import take_down

            take_down(f"{bundle}/shm")
        attempt(remove_tree, bundle)
    if container_id[:1] == "0":  # one in sixteen: reading all of them each time would cost more than it frees
        _sweep_exit_files(context)


def _sweep_exit_files(context: Context) -> None:
    """Drop exit files without a container after ``EXIT_FILE_KEPT_SECONDS``: a ``wait`` beside ``--rm`` reads them.

    Where containers end faster than that, only the last ``EXIT_FILES_KEPT`` stay.
    """
    import time

    too_old = time.time() - EXIT_FILE_KEPT_SECONDS
    found = []
    with os.scandir(context.paths.exits) as entries:
        for entry in entries:
            try:
                found.append((entry.stat().st_mtime, entry.name))
            except OSError:
                continue
    found.sort(reverse=True)
    for number, (written, name) in enumerate(found):
        if (written < too_old or number >= EXIT_FILES_KEPT) and not os.path.isdir(context.paths.bundle(name)):
            attempt(os.unlink, f"{context.paths.exits}/{name}")
