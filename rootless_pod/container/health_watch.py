"""The process that checks a container's health, one a container: the timer that podman asks systemd for.

It is started with the container, belongs to a session of its own, holds nothing of its caller and sleeps on the
container's pidfd, so that it ends with it. ``ps``, ``inspect`` and ``healthcheck run`` start another where it is gone.
"""

from __future__ import annotations

import os
import select
import sys
import time

from rootless_pod.container.health import EVENTS, HEALTHY, UNHEALTHY, HealthRequest, entry_of, is_watched, read_health
from rootless_pod.container.health_check import Checked, Plan, check_once, is_startup
from rootless_pod.errors import RpodError
from rootless_pod.linux import procfs
from rootless_pod.paths import Paths
from rootless_pod.programs.run import spawn, wait
from rootless_pod.state.lock import Lock
from rootless_pod.state.record import read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.context import Context

_START = "import sys; sys.path.insert(0, sys.argv[1]); from rootless_pod.container.health_watch import main; main()"


def begin(context: Context, container_id: str, *, notify: str = "") -> None:
    """Plan the checks of a container that has just started, and start the process that makes them.

    The caller holds the container's lock.
    """
    from rootless_pod import log
    from rootless_pod.container.health import begin_record

    try:
        if write_plan(context, container_id, notify=notify):
            begin_record(context.paths, container_id)
            watch(context, container_id)
    except (RpodError, OSError) as cause:
        log.warn(f"the health of container {container_id[:12]} is not checked: {cause}")


def watch(context: Context, container_id: str) -> None:
    """Start the process for a container with a plan, unless it lives; the caller holds the container's lock."""
    from rootless_pod.userns.enter import leave_mark

    bundle = context.paths.bundle(container_id)
    plan = read_plan(bundle)
    if plan is None or is_watched(bundle) or not plan.request.interval_ns:
        return
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    argv = (sys.executable, "-I", "-S", "-X", "utf8", "-c", _START, top, bundle)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        pid = spawn(argv, fds={0: null, 1: null, 2: null}, env=leave_mark(dict(os.environ)), new_session=True)
    finally:
        os.close(null)
    write_record(f"{bundle}/health.pid", {"pid": pid, "started": procfs.start_time(pid)})


def write_plan(context: Context, container_id: str, *, notify: str = "") -> bool:
    """Write what a check takes into the bundle: the process for the runtime, its argv, the numbers.

    Return False where the container has no check.
    """
    from rootless_pod import jsontext
    from rootless_pod.container import drivers
    from rootless_pod.container.exec import ExecCommand, process_of
    from rootless_pod.container.health import command_of, is_checked
    from rootless_pod.container.limits import come_near
    from rootless_pod.container.lookup import read
    from rootless_pod.state.record import write_bytes

    container = read(context.paths, container_id)
    request, bundle = container.config.request.health, context.paths.bundle(container_id)
    if request is None or not is_checked(request):
        return False
    runtime = drivers.runtime_of(context, container.state)
    come_near(container.state.get("cgroup"), container_id)

    def argv(name: str, test: tuple[str, ...]) -> list[str]:
        process = process_of(context, container, ExecCommand(words=command_of(test)))
        path = f"{bundle}/{name}.process.json"
        write_bytes(path, jsontext.dumps(process).encode())
        return [
            runtime.path,
            *runtime.exec_argv("@LOG@", "--process", path, "--pid-file", "@PIDFILE@", container_id),
        ]

    write_record(
        f"{bundle}/health.plan",
        {
            "graphroot": context.paths.graphroot,
            "runroot": context.paths.runroot,
            "store": context.paths.store,
            "boot_id": context.paths.boot_id,
            "container_id": container_id,
            "pid": container.state["pid"],
            "pid_started": container.state["pid_started"],
            "started_ns": container.status.started_ns,
            "request": request.as_dict(),
            "check": argv("health", request.test),
            "startup": argv("health-startup", request.startup_test) if request.startup_test else [],
            "action": list(context.command("container", "cleanup", "--unhealthy", container_id)),
            "notify": notify,
        },
    )
    return True


def read_plan(bundle: str) -> Plan | None:
    """Return the plan in ``bundle``, or None: there is none, or it is damaged."""
    try:
        record = read_record(f"{bundle}/health.plan")
        request: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in record["request"].items()
        }
        return Plan(
            paths=Paths(**{key: record[key] for key in ("graphroot", "runroot", "boot_id", "store")}),
            container_id=record["container_id"],
            bundle=bundle,
            pid=record["pid"],
            pid_started=record["pid_started"],
            started_ns=record["started_ns"],
            request=HealthRequest(**request),
            check=tuple(record["check"]),
            startup=tuple(record["startup"]),
            action=tuple(record["action"]),
            notify=record["notify"],
        )
    except (RpodError, OSError, LookupError, TypeError, AttributeError):
        return None


def main() -> None:
    """Check the container whose bundle ``sys.argv`` names until it ends; one process a container."""
    plan = read_plan(sys.argv[2])
    if plan is None:
        return
    lock = Lock(f"{plan.bundle}/health.watch")
    try:
        if not lock.acquire(wait=False):
            return
        handle = os.pidfd_open(plan.pid)
    except OSError:
        return
    os.chdir("/")
    if procfs.is_alive(plan.pid, plan.pid_started):
        _watch(plan, handle)


def _watch(plan: Plan, handle: int) -> None:
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    due = time.monotonic()  # the first at once, as podman's
    while not poller.poll(max(0.0, due - time.monotonic()) * 1000):
        checked = check_once(plan)
        if checked is not None:
            follow(plan, checked)
        record = checked.record if checked is not None else read_health(plan.paths, plan.container_id)
        wait_ns = plan.request.startup_interval_ns if is_startup(plan, record) else plan.request.interval_ns
        if checked is not None and checked.startup and record.get("StartupPassed"):
            wait_ns = 0  # the regular check takes over
        due = time.monotonic() + (wait_ns or 0) / 1e9


def follow(plan: Plan, checked: Checked) -> None:
    """Do what a result calls for: tell of it, say that the container is ready, act when it is unhealthy."""
    status = checked.record["Status"]
    _tell(plan, checked)
    if status == HEALTHY and checked.was != HEALTHY and plan.notify:
        from rootless_pod.container.sdnotify import send

        send(plan.notify, "READY=1")
    startup_failed = bool(checked.record.get("StartupFailed"))
    if startup_failed or (status == UNHEALTHY and plan.request.on_failure != "none"):
        wait(spawn(plan.action, fds={}, new_session=True))


def _tell(plan: Plan, checked: Checked) -> None:
    """Write an event; with ``--health-log-destination events_logger`` it holds what the log would."""
    from rootless_pod import jsontext
    from rootless_pod.container.record import config_from
    from rootless_pod.container.tell import tell
    from rootless_pod.state.containers import read_container

    entry = jsontext.dumps(entry_of(plan.request, checked.result))
    more = {"health_log": entry} if plan.request.log_destination == EVENTS else {}
    status = str(checked.record["Status"])
    try:
        config = config_from(read_container(plan.paths, plan.container_id))
        tell(plan.paths, config, "health_status", exit_code=None, health_status=status, **more)
    except (RpodError, OSError):
        return
