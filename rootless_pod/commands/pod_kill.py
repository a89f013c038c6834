"""``rpod pod kill``."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Call, Command, text
from rootless_pod.commands.pod_selection import ALL, LATEST, PODS, for_each_pod, selected, tell_failures

COMMAND = Command(
    name="kill",
    summary="Send a signal to the containers of pods",
    help="Signals the first process of every running container of each pod, the infra container last.",
    options=(
        ALL,
        LATEST,
        text("--signal", "The signal, by name or number (default KILL)", "-s", default="KILL", metavar="SIGNAL"),
    ),
    arguments=(PODS,),
    examples=("rpod pod kill web", "rpod pod kill -s HUP web"),
)


def main(call: Call) -> int:
    """Signal the containers of each pod named and print its id."""
    from rootless_pod.container.create import parse_signal
    from rootless_pod.container.pod.lookup import look
    from rootless_pod.container.pod.stop import kill

    ids, number = selected(call), parse_signal(call.text("signal"))
    context = context_of(call)

    def act(pod_id: str) -> str | None:
        return None if tell_failures(kill(context, look(context.paths, pod_id), number)) else pod_id

    return for_each_pod(ids, act)
