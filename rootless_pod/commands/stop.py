"""``rpod stop``. HOT."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, Option, flag
from rootless_pod.commands.selection import CIDFILE, FILTER, IGNORE, LATEST, for_each, selected, shown

TIME = Option(
    name="--time",
    short="-t",
    kind="int",
    metavar="SECONDS",
    aliases=("--timeout",),
    help="Seconds before it is killed (default: as created, 10); -1 waits for ever",
)

COMMAND = Command(
    name="stop",
    summary="Stop running containers",
    help="Sends the stop signal, waits, then kills. A container that does not run is left alone.",
    options=(flag("--all", "Stop all containers", "-a"), CIDFILE, FILTER, IGNORE, LATEST, TIME),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    examples=("rpod stop web", "rpod stop -t 0 --all"),
)


def main(call: Call) -> int:
    """Stop each container named and print how it was named."""
    from rootless_pod.container.stop import stop

    context, seconds = context_of(call), call.number("time")

    def end(container_id: str) -> str:
        name = shown(call, container_id)  # after it, a container with --rm has no name any more
        stop(context, container_id, timeout_seconds=seconds)
        return name

    return for_each(selected(call), end, at_once=True)
