"""``rpod pod stop``."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Call, Command
from rootless_pod.commands.pod_selection import (
    ALL,
    ID_FILE,
    IGNORE,
    LATEST,
    PODS,
    TIME,
    for_each_pod,
    selected,
    tell_failures,
)

COMMAND = Command(
    name="stop",
    summary="Stop pods",
    help="Stops the containers of each pod side by side, then its infra container.",
    options=(ALL, ID_FILE, IGNORE, LATEST, TIME),
    arguments=(PODS,),
    examples=("rpod pod stop web", "rpod pod stop -t 0 --all"),
)


def main(call: Call) -> int:
    """Stop each pod named and print its id."""
    from rootless_pod.container.pod.lookup import look
    from rootless_pod.container.pod.stop import stop

    context, seconds = context_of(call), call.number("time")

    def act(pod_id: str) -> str | None:
        failures = stop(context, look(context.paths, pod_id), timeout_seconds=seconds)
        return None if tell_failures(failures) else pod_id

    return for_each_pod(selected(call), act)
