"""Run one health check of a running container and write down how it went.

Both the process that watches a container and ``rpod healthcheck run`` come here with the same plan, written into the
bundle when the container started: the runtime's argv stands in it, so a check costs one call of the runtime.
"""

from __future__ import annotations

import os
import select
import time

from rootless_pod.container import status as states
from rootless_pod.container.health import (
    HealthRequest,
    Result,
    judge,
    read_health,
    record_path,
)
from rootless_pod.errors import RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.linux import procfs, signals
from rootless_pod.programs.run import spawn, wait
from rootless_pod.state.lock import Lock
from rootless_pod.state.record import read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.paths import Paths

TIMED_OUT = -1
_MOST_OUTPUT = 1 << 20
_LAST_WORDS_SECONDS = 0.2


class Plan(Frozen):
    """What checking one run of a container takes.

    ``check`` and ``startup`` are argvs of the runtime (without the program's errors: they go to ``oci_log``);
    ``action`` is the argv for a container that turned unhealthy, ``notify`` a socket that hears of the first success.
    """

    paths: Paths
    container_id: str
    bundle: str
    pid: int
    pid_started: int
    started_ns: int
    request: HealthRequest
    check: tuple[str, ...]
    startup: tuple[str, ...] = ()
    action: tuple[str, ...] = ()
    notify: str = ""


class Checked(Frozen):
    """A check that was made: its result, the status before and the record after it, and whether it was start-up's."""

    result: Result
    record: dict[str, Any]
    was: str
    startup: bool


def is_startup(plan: Plan, record: dict[str, Any]) -> bool:
    """Tell whether the start-up check is still to be made instead of the regular one."""
    return bool(plan.startup) and not record.get("StartupPassed")


def check_once(plan: Plan) -> Checked | None:
    """Run the check that is due and record it; None if the container ended, was stopped or paused meanwhile."""
    first = is_startup(plan, read_health(plan.paths, plan.container_id))
    if not _may_check(plan):
        return None
    timeout_ns = plan.request.startup_timeout_ns if first else plan.request.timeout_ns
    result = _run(plan, plan.startup if first else plan.check, (timeout_ns or 0) / 1e9)
    if not _may_check(plan):
        return None
    in_start_period = result.started_ns - plan.started_ns < (plan.request.start_period_ns or 0)
    try:
        with Lock(f"{plan.paths.container(plan.container_id)}/health.lock"):
            before = read_health(plan.paths, plan.container_id)
            after = judge(before, plan.request, result, is_startup=first, in_start_period=in_start_period)
            write_record(record_path(plan.paths, plan.container_id), after)
    except FileNotFoundError:
        return None  # removed meanwhile
    _keep_elsewhere(plan, after)
    return Checked(result=result, record=after, was=str(before.get("Status") or ""), startup=first)


def _may_check(plan: Plan) -> bool:
    """Tell whether the container still runs as it did when the plan was made, and nobody is ending it."""
    if not procfs.is_alive(plan.pid, plan.pid_started):
        return False
    try:
        state = read_record(f"{plan.paths.container(plan.container_id)}/state.json")
    except (RpodError, OSError):
        return False
    ending = state.get("stopped_by_user") or state.get("restart_wanted")
    if ending or state.get("pid") != plan.pid or state.get("status") != states.RUNNING:
        return False
    return not (state.get("cgroup") and states.is_frozen(state["cgroup"]))


def _keep_elsewhere(plan: Plan, record: dict[str, Any]) -> None:
    """Write the log into the directory asked for with ``--health-log-destination``, as podman names it."""
    directory = plan.request.log_destination
    if directory.startswith("/"):
        shown = {key: record.get(key) for key in ("Status", "FailingStreak", "Log")}
        try:
            write_record(f"{directory}/{plan.container_id}-healthcheck.log", shown)
        except OSError:
            return  # the directory went away: the container's own record has it


def _run(plan: Plan, argv: tuple[str, ...], timeout_seconds: float) -> Result:
    """Run one check; a check that takes too long is killed with all it started in its session."""
    token = os.urandom(6).hex()
    pid_file, log = f"{plan.bundle}/health-{token}.pid", f"{plan.bundle}/health-{token}.log"
    words = [word.replace("@PIDFILE@", pid_file).replace("@LOG@", log) for word in argv]
    reader, writer = os.pipe2(os.O_CLOEXEC)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    started_ns = time.time_ns()
    try:
        pid = spawn(words, fds={0: null, 1: writer, 2: writer}, new_session=True)
    finally:
        os.close(writer)
        os.close(null)
    try:
        output, in_time = _listen(pid, reader, timeout_seconds)
        if not in_time:
            _kill_inside(pid_file)
            _kill_group(pid)
        code = wait(pid)
        code = TIMED_OUT if not in_time else 128 - code if code < 0 else code
        return Result(
            started_ns=started_ns,
            finished_ns=time.time_ns(),
            code=code,
            output=output.decode(errors="replace") or (_runtime_words(log) if code else ""),
        )
    finally:
        os.close(reader)
        for path in (pid_file, log):
            try:
                os.unlink(path)
            except OSError:
                continue


def _listen(pid: int, reader: int, timeout_seconds: float) -> tuple[bytes, bool]:
    """Gather the output until the runtime ends; what a process left behind writes later is nobody's."""
    handle = os.pidfd_open(pid)
    os.set_blocking(reader, False)
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    poller.register(reader, select.POLLIN)
    deadline, parts, size = time.monotonic() + timeout_seconds, [], 0
    try:
        while True:
            ready = {fd for fd, _event in poller.poll(max(0.0, deadline - time.monotonic()) * 1000)}
            if reader in ready:
                part = _read(reader)
                if part:
                    parts.append(part[: _MOST_OUTPUT - size])
                    size += len(parts[-1])
                else:
                    poller.unregister(reader)
            if handle in ready:
                while part := _read(reader):
                    parts.append(part[: _MOST_OUTPUT - size])
                    size += len(parts[-1])
                return b"".join(parts), True
            if not ready:
                return b"".join(parts), False
    finally:
        os.close(handle)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b""


def _kill_inside(pid_file: str) -> None:
    """Kill the process in the container, and its session: killing the runtime alone would leave it running."""
    try:
        pid = int(procfs.read_text(pid_file))
    except (OSError, ValueError):
        return
    if pid > 1:
        _kill_group(pid)


def _kill_group(pid: int) -> None:
    """Kill a process with its group: crun gives what it runs one of its own, runc leaves it in the runtime's."""
    try:
        group = os.getpgid(pid)
        if group != os.getpgrp():
            os.killpg(group, signals.SIGKILL)
        else:
            os.kill(pid, signals.SIGKILL)
    except OSError:
        return


def _runtime_words(log: str) -> str:
    from rootless_pod.oci.failure import last_message

    try:
        return last_message(procfs.read_text(log))
    except OSError:
        return ""
