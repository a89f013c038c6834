"""``rpod init``: containers that are ready to start."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.commands.selection import ALL, LATEST, for_each, selected, shown

COMMAND = Command(
    name="init",
    summary="Initialize containers",
    help=(
        "Does all that start does before the first instruction of the container's program: mounts, network, "
        "namespaces. What is wrong shows here; rpod start goes on from there."
    ),
    options=(ALL, LATEST),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    examples=("rpod init web", "rpod init --all"),
)


def main(call: Call) -> int:
    """Make each container named ready and print how it was named."""
    from rootless_pod.container.lookup import read
    from rootless_pod.container.start import initialize
    from rootless_pod.state.containers import ContainerLock

    context, everything = context_of(call), call.flag("all")

    def ready(container_id: str) -> str | None:
        with ContainerLock(context.paths, container_id):
            container = read(context.paths, container_id)
            if everything and container.status.is_made:
                return None
            initialize(context, container.config)
        return shown(call, container_id)

    return for_each(selected(call), ready)
