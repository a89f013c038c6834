"""``rpod unpause``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command, flag
from rootless_pod.commands.selection import CIDFILE, FILTER, LATEST, for_each_in

COMMAND = Command(
    name="unpause",
    summary="Unpause the processes in containers",
    help="Lets the processes of paused containers go on.",
    options=(flag("--all", "Unpause all paused containers", "-a"), CIDFILE, FILTER, LATEST),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    examples=("rpod unpause web", "rpod unpause --all"),
)


def main(call: Call) -> int:
    """Thaw each container named and print how it was named."""
    from rootless_pod.container.pause import unpause
    from rootless_pod.container.status import PAUSED

    return for_each_in(call, PAUSED, unpause)
