"""``rpod pod restart``."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Call, Command
from rootless_pod.commands.pod_selection import ALL, LATEST, PODS, TIME, for_each_pod, selected, tell_failures

COMMAND = Command(
    name="restart",
    summary="Restart pods",
    help="Stops what runs of each pod and starts all its containers.",
    options=(ALL, LATEST, TIME),
    arguments=(PODS,),
    examples=("rpod pod restart web",),
)


def main(call: Call) -> int:
    """Restart each pod named and print its id."""
    from rootless_pod.container.pod.lookup import look
    from rootless_pod.container.pod.start import start
    from rootless_pod.container.pod.stop import stop

    context, seconds = context_of(call), call.number("time")

    def act(pod_id: str) -> str | None:
        failures = stop(context, look(context.paths, pod_id), timeout_seconds=seconds)
        failures += start(context, pod_id)
        return None if tell_failures(failures) else pod_id

    return for_each_pod(selected(call), act)
