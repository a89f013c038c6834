"""Stop and signal containers. HOT."""

from __future__ import annotations

import os

from rootless_pod.container import status as states
from rootless_pod.container.cleanup import read_settled, settle
from rootless_pod.container.dependents import dependents_of
from rootless_pod.container.lookup import read
from rootless_pod.container.tell import tell
from rootless_pod.errors import Conflict, NotFound, TimedOut
from rootless_pod.linux import procfs, signals
from rootless_pod.state.containers import FOREGROUND, ContainerLock, write_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container

KILL_TIMEOUT_SECONDS = 20.0
_ENDING = (signals.SIGKILL, signals.SIGTERM, signals.SIGINT, signals.SIGQUIT)


def send_signal(container: Container, number: int) -> None:
    """Send a signal to the container's first process.

    Raises:
        Conflict: it does not run.
    """
    pid, started = container.state.get("pid", 0), container.state.get("pid_started")
    if container.status.is_running and container.status.pid:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            handle = -1
        if handle >= 0:
            try:
                if procfs.is_alive(pid, started):
                    signals.send(handle, number)
                    return
            except ProcessLookupError:
                pass
            finally:
                os.close(handle)
    raise Conflict(
        f"can only kill running containers; {container.id[:12]} is in state {container.status.name}",
        remedy=f"start it: rpod start {container.config.name}",
    )


def kill(context: Context, container_id: str, number: int) -> None:
    """Send signal ``number`` to a running container, for the user.

    A signal that is meant to end it also means that no restart policy may bring it back.

    Raises:
        Conflict: it does not run.
        NotFound: it is gone.
    """
    container = read(context.paths, container_id)
    if container.config.request.restart_policy and number in (*_ENDING, container.config.stop_signal):
        _mark_stopped_by_user(context, container_id)
    send_signal(container, number)
    tell(context.paths, container.config, "kill")


def wait_for_end(container: Container, timeout_seconds: float) -> bool:
    """Wait until the first process has ended; return whether it did in time (negative: for ever)."""
    pid, started = container.state.get("pid", 0), container.state.get("pid_started")
    if not procfs.is_alive(pid, started):
        return True
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        if not procfs.is_alive(pid, started):
            return True
        import select

        poller = select.poll()
        poller.register(handle, select.POLLIN)
        return bool(poller.poll(None if timeout_seconds < 0 else timeout_seconds * 1000))
    finally:
        os.close(handle)


def stop(context: Context, container_id: str, *, timeout_seconds: int | None = None) -> Container:
    """Stop a container: its stop signal, then after the timeout SIGKILL; then put away what it used.

    One that does not run is left as it is.

    Raises:
        NotFound: it is gone.
        TimedOut: it survived SIGKILL (a process stuck in the kernel).
    """
    instead = ContainerLock(context.paths, container_id, FOREGROUND)
    instead.acquire(wait=False)  # the monitor's exit command waits for it, and then finds nothing left to do
    try:
        return _stop(context, container_id, timeout_seconds)
    finally:
        instead.release()


def _stop(context: Context, container_id: str, timeout_seconds: int | None) -> Container:
    container = read_settled(context, container_id)
    if container.status.is_running and not container.status.lost:
        _mark_stopped_by_user(context, container_id)
        grace = container.config.request.stop_timeout_seconds if timeout_seconds is None else timeout_seconds
        end(container, grace)
        tell(context.paths, container.config, "stop")
    elif container.status.name == states.INITIALIZED:
        from rootless_pod.container.interrupted import end_process

        # Its first process is still the runtime's: no signal but this one reaches it.
        end_process(container.state.get("pid", 0), container.state.get("pid_started") or 0)
    try:
        with ContainerLock(context.paths, container_id):
            container = _stay_stopped(context, settle(context, wait_for_monitor(context, container_id)))
            goes = container.config.request.auto_remove and not dependents_of(context.paths, container_id)
            if goes and container.status.name == states.EXITED:
                from rootless_pod.container.remove import take_away

                take_away(context, container, volumes=True)
            return container
    except NotFound:
        # Its own clean-up was faster: one that was run with --rm is gone once it has stopped.
        if container.config.request.auto_remove:
            return container
        raise


def _mark_stopped_by_user(context: Context, container_id: str) -> None:
    """Say in the record that this end is wanted: no restart policy may undo it."""
    with ContainerLock(context.paths, container_id):
        container = read(context.paths, container_id)
        if container.status.is_running and not container.state.get("stopped_by_user"):
            write_state(context.paths, container_id, {**container.state, "stopped_by_user": True})


def _stay_stopped(context: Context, container: Container) -> Container:
    """Call off a start that is due by the restart policy; the caller holds the lock."""
    if container.state.get("restart"):
        from rootless_pod.container.restart_policy import cancel

        cancel(context, container)
    return container


def end(container: Container, grace: float) -> None:
    """Send the stop signal, and SIGKILL after ``grace`` seconds (negative: never); return when it has ended.

    Raises:
        TimedOut: it survived SIGKILL.
    """
    if container.status.name == states.PAUSED:
        from rootless_pod.linux.cgroup import thaw

        try:
            thaw(container.state["cgroup"])
        except OSError:
            pass  # it has ended meanwhile
    try:
        if grace != 0:
            send_signal(container, container.config.stop_signal)
            if wait_for_end(container, grace):
                return
            from rootless_pod import log

            log.warn(
                f"stop signal {_signal_name(container.config.stop_signal)} failed to stop container "
                f"{container.config.name} in {grace} seconds, resorting to SIGKILL"
            )
        send_signal(container, signals.SIGKILL)
    except Conflict:
        return
    if not wait_for_end(container, KILL_TIMEOUT_SECONDS):
        raise TimedOut(
            f"container {container.id[:12]} survived SIGKILL for {KILL_TIMEOUT_SECONDS:.0f} s",
            remedy=f"see what it waits for in the kernel: cat /proc/{container.status.pid}/stack",
        )


def _signal_name(number: int) -> str:
    return next((name for name, value in signals.numbers().items() if value == number), str(number))


def wait_for_monitor(context: Context, container_id: str) -> Container:
    """Give the monitor the moment it needs to write the exit file after the process has ended."""
    container = read(context.paths, container_id)
    if container.status.is_made and not container.status.lost:
        from rootless_pod.monitor.exitfile import wait_exit

        wait_exit(
            context.paths.exits,
            container_id,
            conmon_pid=container.state.get("conmon_pid", 0),
            conmon_started=container.state.get("conmon_started"),
            timeout_seconds=KILL_TIMEOUT_SECONDS,
        )
        container = read(context.paths, container_id)
    return container
