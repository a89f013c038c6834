"""``rpod pod pause``."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Call, Command
from rootless_pod.commands.pod_selection import ALL, LATEST, PODS, for_each_pod, selected, tell_failures

COMMAND = Command(
    name="pause",
    summary="Pause all processes of pods",
    help="Freezes every process of each pod through the cgroups (v2) of its containers, until rpod pod unpause.",
    options=(ALL, LATEST),
    arguments=(PODS,),
    examples=("rpod pod pause web",),
)


def main(call: Call) -> int:
    """Freeze each pod named and print its id."""
    from rootless_pod.container.pod.lookup import look
    from rootless_pod.container.pod.stop import pause

    context = context_of(call)

    def act(pod_id: str) -> str | None:
        return None if tell_failures(pause(context, look(context.paths, pod_id))) else pod_id

    return for_each_pod(selected(call), act)
