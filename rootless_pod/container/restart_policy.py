"""Restart policies, kept without a daemon: whoever settles an ended container writes down whether it is to come back.

The decision stands in the final state (``restart``), so a kill at any moment loses nothing: the monitor's exit command
leaves a shell that sleeps for the back-off and then calls ``container cleanup --restart``; where that is gone, the
next ``ps`` or ``inspect`` calls another (``revive``). Back-off as Docker's: 0.1 s, doubled up to a minute, and anew
once a run has lasted ten seconds.
"""

from __future__ import annotations

import os

from rootless_pod import log
from rootless_pod.container import status as states
from rootless_pod.errors import RpodError, Usage
from rootless_pod.linux import procfs, signals
from rootless_pod.state.containers import write_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.container.request import ContainerRequest
    from rootless_pod.container.status import Status

NO, ALWAYS, ON_FAILURE, UNLESS_STOPPED = "no", "always", "on-failure", "unless-stopped"
POLICIES = (NO, ALWAYS, ON_FAILURE, UNLESS_STOPPED)

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 60.0
STEADY_SECONDS = 10
MOST_FAILED_STARTS = 10
_SLEEP_FIRST = 'sleep "$1"; shift; exec "$@"'


def parse_policy(text: str, *, auto_remove: bool) -> tuple[str, int]:
    """Return policy and retries (0: no limit) from such as ``on-failure:3``.

    Raises:
        Usage: there is no such policy, or it contradicts ``--rm``.
    """
    policy, colon, count = text.partition(":")
    if policy not in POLICIES:
        raise Usage(
            f"--restart {text}: {policy!r} is not a valid restart policy",
            remedy="use no, always, on-failure[:RETRIES] or unless-stopped",
        )
    if colon and policy != ON_FAILURE:
        raise Usage(
            "restart policy retries can only be specified with on-failure restart policy",
            remedy=f"use --restart {policy}, or --restart on-failure:{count}",
        )
    if colon and not (count.isdecimal() and int(count) > 0):
        raise Usage(
            f"--restart {text}: the number of retries must be greater than 0", remedy="write --restart on-failure:3"
        )
    if auto_remove and policy in (ALWAYS, UNLESS_STOPPED):
        raise Usage(
            f"the --rm option conflicts with --restart {policy}: the container would never be removed",
            remedy="leave out one of the two",
        )
    return policy, int(count or 0)


def is_wanted(request: ContainerRequest, state: dict[str, Any], status: Status, *, boot_id: str) -> bool:
    """Tell whether a container that has ended is to be started again. After a reboot nobody but the user starts it."""
    if state.get("before"):
        return False  # a start that failed
    if state.get("stopped_by_user") or state.get("boot_id") != boot_id or not status.started_ns:
        return False
    if state.get("restart_wanted"):
        return True
    if request.restart_policy == ON_FAILURE:
        left = not request.restart_retries or state.get("restarts", 0) < request.restart_retries
        return status.exit_code != 0 and left
    return request.restart_policy in (ALWAYS, UNLESS_STOPPED)


def next_delay(last_seconds: float, ran_seconds: float) -> float:
    """Return how long to wait before the next start, from the last wait and how long the container ran."""
    if not last_seconds or ran_seconds >= STEADY_SECONDS:
        return FIRST_DELAY_SECONDS
    return min(2 * last_seconds, LONGEST_DELAY_SECONDS)


def note(context: Context, container: Container, final: dict[str, Any], status: Status) -> None:
    """Add to the ``final`` state of an ended container that it is to be started again, if it is."""
    state = container.state
    if state.get("restart"):  # a start of ours was cut short: it is still due
        final["restart"] = state["restart"]
    elif is_wanted(container.config.request, state, status, boot_id=context.paths.boot_id):
        ran_seconds = (final["finished_ns"] - status.started_ns) / 1e9
        delay = next_delay(state.get("backoff_seconds", 0.0), ran_seconds)
        final["restart"] = {"delay_seconds": delay, "failures": 0}


def is_waiting(state: dict[str, Any]) -> bool:
    """Tell whether a start is due and a living process waits to make it."""
    due = state.get("restart") or {}
    return procfs.is_alive(due.get("pid", 0), due.get("pid_started"))


def launch(context: Context, container: Container) -> Container:
    """Leave a process behind that starts the container when its back-off is over; the caller holds the lock."""
    from rootless_pod.container.lookup import read
    from rootless_pod.programs.run import spawn
    from rootless_pod.userns.enter import leave_mark

    due = container.state.get("restart")
    if not due or is_waiting(container.state):
        return container
    command = context.command("container", "cleanup", "--restart", container.id)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        pid = spawn(
            ("sh", "-c", _SLEEP_FIRST, "sh", str(due["delay_seconds"]), *command),
            fds={0: null, 1: null, 2: null},
            env=leave_mark(dict(os.environ)),
            new_session=True,
        )
    finally:
        os.close(null)
    waiting = {**due, "pid": pid, "pid_started": procfs.start_time(pid)}
    write_state(context.paths, container.id, {**container.state, "restart": waiting})
    return read(context.paths, container.id)


def cancel(context: Context, container: Container) -> None:
    """Forget a start that is due, and end the process that waits to make it; the caller holds the lock. Idempotent."""
    due = container.state.get("restart")
    if not due:
        return
    pid = due.get("pid", 0)
    if pid != os.getpid() and is_waiting(container.state):
        try:
            os.killpg(pid, signals.SIGKILL)
        except OSError as cause:
            log.debug(f"end the wait for a restart: {cause}")
    left = {key: value for key, value in container.state.items() if key != "restart"}
    write_state(context.paths, container.id, {**left, "stopped_by_user": True})


def start_infra(context: Context, container: Container) -> None:
    """Start the infra container of the pod of a container whose start is due; the caller holds no lock.

    Others that it needs are left alone: the user may have stopped them.
    """
    from rootless_pod.container.dependents import start_needed
    from rootless_pod.container.lookup import read

    if container.config.pod_id and container.state.get("restart"):
        needed = container.config.dependencies
        try:
            start_needed(context, [one for one in needed if read(context.paths, one).config.is_infra])
        except RpodError as cause:
            log.debug(f"start of the infra container: {cause}")  # the start that needs it says so


def make(context: Context, container: Container) -> None:
    """Start a container whose start is due; the caller holds the lock.

    A start that fails is tried again with a longer wait, ``MOST_FAILED_STARTS`` times in a row.
    """
    from rootless_pod.container.lookup import read
    from rootless_pod.container.start import start

    due = container.state.get("restart")
    if not due or container.status.is_running:
        return
    counted = {**container.state, "restarts": container.state.get("restarts", 0) + 1}
    write_state(context.paths, container.id, counted)
    try:
        start(context, container.config, again=True)
    except RpodError as cause:
        failed = read(context.paths, container.id)
        failures = due.get("failures", 0) + 1
        state = {key: value for key, value in failed.state.items() if key != "restart"}
        state |= {"status": states.EXITED, "error": cause.message, "exit_code": container.status.exit_code}
        state |= {"started_ns": container.status.started_ns, "finished_ns": container.status.finished_ns}
        if failures < MOST_FAILED_STARTS:
            delay = min(2 * max(due["delay_seconds"], FIRST_DELAY_SECONDS), LONGEST_DELAY_SECONDS)
            state["restart"] = {"delay_seconds": delay, "failures": failures}
        write_state(context.paths, container.id, state)
        launch(context, read(context.paths, container.id))
