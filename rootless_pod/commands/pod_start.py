"""``rpod pod start``."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Call, Command
from rootless_pod.commands.pod_selection import ALL, ID_FILE, LATEST, PODS, for_each_pod, selected, tell_failures

COMMAND = Command(
    name="start",
    summary="Start pods",
    help="Starts the infra container, the init containers one after the other, then all others.",
    options=(ALL, ID_FILE, LATEST),
    arguments=(PODS,),
    examples=("rpod pod start web", "rpod pod start --all"),
)


def main(call: Call) -> int:
    """Start each pod named and print its id."""
    from rootless_pod.container.pod.start import start

    context = context_of(call)

    def act(pod_id: str) -> str | None:
        return None if tell_failures(start(context, pod_id)) else pod_id

    return for_each_pod(selected(call), act)
