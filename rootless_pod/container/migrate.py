"""``system migrate``: give up the user's namespace, so that the next command makes it anew with the ids of now.

All running containers are stopped first (as podman does): they live in the old namespace.
"""

from __future__ import annotations

import os
import select
import signal

from rootless_pod import log
from rootless_pod.container.lookup import list_all, read
from rootless_pod.container.record import record_of
from rootless_pod.errors import HostUnready, NotFound, RpodError, TimedOut, Usage
from rootless_pod.linux import procfs
from rootless_pod.programs.find import find_program
from rootless_pod.state.containers import ContainerLock
from rootless_pod.state.lock import Lock
from rootless_pod.state.record import write_record
from rootless_pod.userns.pause import living_members, read_pause, record_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.paths import Paths
    from rootless_pod.userns.pause import UserNamespace

MONITOR_SECONDS = 20.0
_TOLD = "single-id.told"


def migrate(paths: Paths, enter: Callable[[], Context]) -> Iterator[str]:
    """Stop every running container, yielding its name, then end the pause process; idempotent.

    ``enter`` joins the namespace and is called only if there is something to stop.

    Raises:
        TimedOut: a container or the pause process does not end.
        HostUnready: containers run, but their namespace can't be joined to stop them.
    """
    running = [one for one in list_all(paths) if one.status.is_made]
    if running:
        from rootless_pod.container.stop import stop

        context = _entered(enter, running)
        for one in running:
            stop(context, one.id)
            yield one.config.name
    with Lock(f"{paths.bootroot}/pause.lock"):
        # A monitor's last act is a clean-up command, which would keep the old namespace alive.
        for pid, started in list(living_members(paths)):
            _await_end(pid, started, MONITOR_SECONDS)
        for one in running:
            _await_end(one.state.get("conmon_pid", 0), one.state.get("conmon_started"), MONITOR_SECONDS)
        held = read_pause(paths)
        if held is not None:
            end_pause(held)
        _unlink(record_path(paths))
        _forget(paths)


def check_runtime(enter: Callable[[], Context], runtime: str) -> None:
    """Try the runtime that containers are to have from now on.

    Raises:
        Usage: there is no such program.
        HostUnready: it does not work here.
    """
    from rootless_pod.container.drivers import runtime_choice

    if find_program(runtime) is None:
        raise Usage(
            f'change to runtime "{runtime}" requested but no such runtime is defined: invalid argument',
            remedy="name crun, runc or the path of one; see: rpod info --format '{{json .Host.OCIRuntime}}'",
        )
    runtime_choice(enter(), runtime)


def change_runtime(paths: Paths, runtime: str) -> None:
    """Have every container that is here started with this runtime; one that is removed meanwhile is left out."""
    for one in list_all(paths):
        try:
            with ContainerLock(paths, one.id):
                config = read(paths, one.id).config
                changed = config.replace(request=config.request.replace(runtime=runtime))
                write_record(f"{paths.container(one.id)}/container.json", record_of(changed))
        except NotFound:
            continue


def _entered(enter: Callable[[], Context], running: list[Container]) -> Context:
    try:
        return enter()
    except RpodError as cause:
        names = ", ".join(one.config.name for one in running)
        pids = " ".join(str(one.status.pid) for one in running if one.status.pid)
        raise HostUnready(
            f"cannot stop the running containers {names}: {cause.message}", remedy=f"end them first: kill -9 {pids}"
        ) from cause


def _await_end(pid: int, started: int | None, seconds: float) -> bool:
    """Wait until the process has ended; return whether it did in time."""
    if not procfs.is_alive(pid, started):
        return True
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        return bool(poller.poll(seconds * 1000)) or not procfs.is_alive(pid, started)
    finally:
        os.close(handle)


def end_pause(held: UserNamespace) -> None:
    """End a pause process.

    Raises:
        TimedOut: it survived SIGKILL.
    """
    try:
        handle = os.pidfd_open(held.pid)
    except OSError:
        handle = -1
    if handle >= 0:
        try:
            if procfs.is_alive(held.pid, held.started):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
    if not _await_end(held.pid, held.started, MONITOR_SECONDS):
        raise TimedOut(
            f"the pause process {held.pid} survived SIGKILL",
            remedy=f"look at what it waits for: cat /proc/{held.pid}/stack",
        )


def _forget(paths: Paths) -> None:
    """Drop what was found out in the old namespace: the drivers are tried again, one id is told of again."""
    _unlink(f"{paths.bootroot}/{_TOLD}")
    try:
        names = os.listdir(paths.probes)
    except OSError:
        return
    for name in names:
        _unlink(f"{paths.probes}/{name}")


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError as cause:
        if not isinstance(cause, FileNotFoundError):
            log.debug(f"{path}: {cause}")
