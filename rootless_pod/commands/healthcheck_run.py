"""``rpod healthcheck run``: one check, now."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.errors import Conflict, TimedOut

COMMAND = Command(
    name="run",
    summary="Run the health check of a container",
    help=(
        "Runs the container's health check once and counts the result as if its time had come. Checks are made without "
        "this command too, from the start of the container on.\n\n"
        "Exit codes: 0 the check succeeded, 1 it failed, 125 there is none or it did not end in time."
    ),
    arguments=(Argument(name="CONTAINER", kind="one", help="Name or id", completes="container"),),
    examples=("rpod healthcheck run web",),
)


def main(call: Call) -> int:
    """Run the check, record it, and act on it."""
    from rootless_pod.container import drivers
    from rootless_pod.container.health import is_checked
    from rootless_pod.container.health_check import TIMED_OUT, check_once
    from rootless_pod.container.health_watch import follow, read_plan, watch
    from rootless_pod.container.limits import come_near
    from rootless_pod.container.lookup import find
    from rootless_pod.state.containers import ContainerLock

    context = context_of(call)
    container = find(context.paths, call.one("container"))
    name, request = container.config.name, container.config.request.health
    if not container.status.is_running:
        raise Conflict(f"container {name} is not running", remedy=f"start it: rpod start {name}")
    if request is None or not is_checked(request):
        raise Conflict(f"container {name} has no defined healthcheck", remedy="create it with --health-cmd")
    drivers.runtime_of(context, container.state)  # where the host has old cgroups, the runtime needs a view of its own
    come_near(container.state.get("cgroup"), container.id)
    with ContainerLock(context.paths, container.id):
        watch(context, container.id)
    plan = read_plan(context.paths.bundle(container.id))
    checked = check_once(plan) if plan is not None else None
    if plan is None or checked is None:
        raise Conflict(f"container {name} was stopped or paused meanwhile", remedy=f"see: rpod inspect {name}")
    follow(plan, checked)
    if checked.result.code == TIMED_OUT:
        limit = request.startup_timeout_ns if checked.startup else request.timeout_ns
        raise TimedOut(
            f"healthcheck command exceeded timeout of {(limit or 0) / 1e9:g}s",
            remedy="allow it more time with --health-timeout",
        )
    if checked.result.code:
        print("unhealthy")
    return 1 if checked.result.code else 0
