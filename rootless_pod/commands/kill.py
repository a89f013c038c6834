"""``rpod kill``. HOT."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, flag, text
from rootless_pod.commands.selection import CIDFILE, LATEST, for_each, selected, shown

COMMAND = Command(
    name="kill",
    summary="Send a signal to running containers",
    options=(
        flag("--all", "Signal all running containers", "-a"),
        CIDFILE,
        LATEST,
        text("--signal", "The signal, by name or number (default KILL)", "-s", default="KILL", metavar="SIGNAL"),
    ),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    examples=("rpod kill web", "rpod kill -s HUP web"),
)


def main(call: Call) -> int:
    """Signal the first process of each container named."""
    from rootless_pod.container.create import parse_signal
    from rootless_pod.container.stop import kill

    number = parse_signal(call.text("signal"))
    context = context_of(call)

    def send(container_id: str) -> str:
        name = shown(call, container_id)  # after it, a container with --rm has no name any more
        kill(context, container_id, number)
        return name

    return for_each(selected(call, among=lambda one: one.status.is_running), send)
