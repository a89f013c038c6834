"""``rpod pause``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command, flag
from rootless_pod.commands.selection import CIDFILE, FILTER, LATEST, for_each_in

COMMAND = Command(
    name="pause",
    summary="Pause all the processes in containers",
    help="Freezes every process of the container through its cgroup (v2), until rpod unpause.",
    options=(flag("--all", "Pause all running containers", "-a"), CIDFILE, FILTER, LATEST),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    examples=("rpod pause web", "rpod pause --all"),
)


def main(call: Call) -> int:
    """Freeze each container named and print how it was named."""
    from rootless_pod.container.pause import pause
    from rootless_pod.container.status import RUNNING

    return for_each_in(call, RUNNING, pause)
