"""``rpod rename``."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command

COMMAND = Command(
    name="rename",
    summary="Rename a container",
    help="Gives a container, running or not, another name.",
    arguments=(
        Argument(name="CONTAINER", help="Name or id", completes="container"),
        Argument(name="NAME", help="The new name"),
    ),
    examples=("rpod rename web old-web",),
)


def main(call: Call) -> int:
    """Rename it; nothing is printed."""
    from rootless_pod.container.lookup import find_id
    from rootless_pod.container.rename import rename

    rename(context_of(call), find_id(call.paths, call.one("container")), call.one("name"))
    return 0
