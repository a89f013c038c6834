"""``rpod restart``."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, Option, flag
from rootless_pod.commands.selection import ALL, CIDFILE, FILTER, LATEST, for_each, selected, shown
from rootless_pod.errors import Usage

COMMAND = Command(
    name="restart",
    summary="Restart containers",
    help="Stops each container if it runs, and starts it, with everything it was created with.",
    options=(
        ALL,
        CIDFILE,
        FILTER,
        LATEST,
        flag("--running", "Restart all containers that run"),
        Option(
            name="--time",
            short="-t",
            kind="uint",
            metavar="SECONDS",
            aliases=("--timeout",),
            help="Seconds before it is killed (default: as created, 10)",
        ),
    ),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    examples=("rpod restart web", "rpod restart -t 2 --running"),
)


def main(call: Call) -> int:
    """Restart each container named and print how it was named."""
    from rootless_pod.container.restart import restart

    context, seconds = context_of(call), call.number("time")
    running = call.flag("running")
    if running:
        if call.many("containers") or call.flag("latest"):
            raise Usage("--running can't go with names or --latest", remedy="leave out one of them")
        call = call.replace(values={**call.values, "all": True})

    def again(container_id: str) -> str:
        restart(context, container_id, timeout_seconds=seconds)
        return shown(call, container_id)

    return for_each(selected(call, among=lambda one: not running or one.status.is_running), again)
