"""Freeze and thaw the processes of a container through its cgroup.

The cgroup itself says whether it is frozen, so that a kill at any moment leaves nothing to mend; neither the runtime
nor the user's namespace is needed.
"""

from __future__ import annotations

from rootless_pod.container import status as states
from rootless_pod.container.cleanup import settle
from rootless_pod.container.lookup import read
from rootless_pod.container.tell import tell
from rootless_pod.errors import Conflict, HostUnready, TimedOut
from rootless_pod.linux import cgroup
from rootless_pod.state.containers import ContainerLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container

FREEZE_TIMEOUT_SECONDS = 10.0


def pause(context: Context, container_id: str) -> None:
    """Freeze every process of a running container.

    Raises:
        Conflict: it does not run, or is paused already.
        HostUnready: it has no cgroup of its own that could be frozen.
        TimedOut: a process can't be stopped; all go on then.
    """
    with ContainerLock(context.paths, container_id):
        container = settle(context, read(context.paths, container_id))
        name = container.config.name
        if container.status.name == states.PAUSED:
            raise Conflict(f"container {name} is paused already", remedy=f"run: rpod unpause {name}")
        if container.status.name != states.RUNNING:
            raise Conflict(
                f"container {name} is not running, it can't be paused: it is {container.status.name}",
                remedy=f"start it: rpod start {name}",
            )
        path = cgroup_of(container, "can't be paused")
        try:
            stands = cgroup.freeze(path, timeout_seconds=FREEZE_TIMEOUT_SECONDS)
            if not stands:
                cgroup.thaw(path)
        except OSError as cause:
            raise HostUnready(f"container {name} can't be paused: {path}: {cause.strerror}") from cause
        if not stands:
            raise TimedOut(
                f"container {name} can't be paused: a process of it waits in the kernel",
                remedy=f"see which: rpod top {name} pid,state,args",
            )
        tell(context.paths, container.config, "pause")


def unpause(context: Context, container_id: str) -> None:
    """Let the processes of a paused container go on.

    Raises:
        Conflict: it is not paused.
    """
    with ContainerLock(context.paths, container_id):
        container = settle(context, read(context.paths, container_id))
        if container.status.name != states.PAUSED:
            raise Conflict(f"container {container.config.name} is not paused: it is {container.status.name}")
        try:
            cgroup.thaw(container.state["cgroup"])
        except OSError as cause:
            raise HostUnready(f"container {container.config.name} can't be unpaused: {cause.strerror}") from cause
        tell(context.paths, container.config, "unpause")


def cgroup_of(container: Container, what_fails: str) -> str:
    """Return the path of a running container's own cgroup.

    Raises:
        HostUnready: it has none, because nothing was delegated where it was started, or none was wanted.
    """
    path: str = container.state.get("cgroup") or ""
    if path and cgroup.exists(path):
        return path
    name = container.config.name
    if container.config.request.process.cgroups == "disabled":
        raise HostUnready(
            f"container {name} {what_fails}: it was made with --cgroups=disabled",
            remedy="make it anew without that option",
        )
    layout = cgroup.find_layout()
    if layout != "v2":
        raise HostUnready(
            f"container {name} {what_fails}: it has no cgroup of its own, as this machine's cgroups are {layout}",
            remedy="boot with systemd.unified_cgroup_hierarchy=1 on the kernel command line",
        )
    from rootless_pod.programs.systemd import socket_path

    if socket_path():
        raise HostUnready(
            f"container {name} {what_fails}: it has no cgroup of its own, as it was started without a limit in a login"
            " session",
            remedy=f"give it a limit, which brings one: rpod stop {name}; rpod update --pids-limit 2048 {name};"
            f" rpod start {name}",
        )
    raise HostUnready(
        f"container {name} {what_fails}: it has no cgroup of its own, as none is delegated to you where it was started",
        remedy="log in so that systemd runs for you (ssh or a terminal, not su), or start containers by:"
        " systemd-run --user --scope -p Delegate=yes rpod …",
    )
