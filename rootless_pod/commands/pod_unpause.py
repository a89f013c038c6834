"""``rpod pod unpause``."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Call, Command
from rootless_pod.commands.pod_selection import ALL, LATEST, PODS, for_each_pod, selected, tell_failures

COMMAND = Command(
    name="unpause",
    summary="Let the processes of paused pods go on",
    help="Lets the processes of paused containers go on.",
    options=(ALL, LATEST),
    arguments=(PODS,),
    examples=("rpod pod unpause web",),
)


def main(call: Call) -> int:
    """Thaw each pod named and print its id."""
    from rootless_pod.container.pod.lookup import look
    from rootless_pod.container.pod.stop import unpause

    context = context_of(call)

    def act(pod_id: str) -> str | None:
        return None if tell_failures(unpause(context, look(context.paths, pod_id))) else pod_id

    return for_each_pod(selected(call), act)
