"""What a start that was cut short left running: found by what is there, since no record names it yet.

A process belongs to a container's start if its command line names the bundle (monitor, runtime and the first process
before its own program runs) or its errors go to a file of the container (helpers of mounts and networks).
"""

from __future__ import annotations

import os

from rootless_pod import jsontext, log
from rootless_pod.linux import procfs, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.paths import Paths

END_TIMEOUT_SECONDS = 20.0


def end_start(context: Context, container: Container) -> None:
    """End everything that a start without a living starter set going; the caller holds the container's lock.

    Afterwards no monitor is left that could still write an exit file or call the runtime.
    """
    import time

    paths = context.paths
    deadline = time.monotonic() + END_TIMEOUT_SECONDS
    while pids := belonging(paths, container.id):
        for pid in pids:
            end_process(pid, None)
        if time.monotonic() > deadline:
            log.debug(f"processes of container {container.id[:12]} survive SIGKILL: {pids}")
            break
    end_process(container.state.get("pid", 0), container.state.get("pid_started"))
    remove_named_cgroup(paths, container.id)


def belonging(paths: Paths, container_id: str) -> list[int]:
    """Return the pids of the processes that belong to the start of a container, oldest number first."""
    bundle, directory = paths.bundle(container_id), paths.container(container_id)
    word, homes = os.fsencode(bundle), (f"{bundle}/", f"{directory}/")
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if word in words or os.readlink(f"/proc/{name}/fd/2").startswith(homes):
                found.append(int(name))
        except OSError:
            continue
    return sorted(found)


def end_process(pid: int, started: int | None, timeout_seconds: float = 10.0) -> None:
    """Kill a process and wait for its end; ``started`` None: whatever bears this number now. Idempotent."""
    if pid <= 0:
        return
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if started is None or procfs.is_alive(pid, started):
            import select

            signals.send(handle, signals.SIGKILL)
            select.select([handle], [], [], timeout_seconds)
    except OSError as cause:
        log.debug(f"kill {pid}: {cause}")
    finally:
        os.close(handle)


def remove_named_cgroup(paths: Paths, container_id: str) -> None:
    """Remove the cgroup that the bundle names: a runtime killed while it made the container leaves it behind."""
    try:
        with open(f"{paths.bundle(container_id)}/config.json", "rb") as file:
            path = jsontext.loads(file.read())["linux"]["cgroupsPath"]
    except (OSError, ValueError, LookupError, TypeError):
        return
    if path:
        end_cgroup(path)


def end_cgroup(path: str, timeout_seconds: float = 2.0) -> bool:
    """Kill whatever is in the cgroup ``path`` and remove it; return whether it is gone."""
    import time

    from rootless_pod.linux.cgroup import kill_cgroup, remove_cgroup

    deadline = time.monotonic() + timeout_seconds
    try:
        while not remove_cgroup(path):
            kill_cgroup(path)
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)  # the dying leave the cgroup one by one, and nothing tells of the last
    except OSError as cause:
        log.debug(f"remove cgroup {path}: {cause}")
        return False
    return True
