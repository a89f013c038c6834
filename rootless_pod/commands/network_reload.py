"""``rpod network reload``."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.commands.selection import ALL, LATEST, for_each, selected

COMMAND = Command(
    name="reload",
    summary="Bring the networks of running containers up again",
    help=(
        "Makes what is missing of the networks of containers: bridges, firewall rules, the program that leads out, the "
        "one that answers names. Whatever joins a network does the same; this is for when something was killed."
    ),
    options=(ALL, LATEST),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Containers, by name or id", completes="container"),),
    examples=("rpod network reload web", "rpod network reload --all"),
)


def main(call: Call) -> int:
    """Reload each and print its id."""
    from rootless_pod.container.networks import can_reload, reload

    context = context_of(call)

    def one(container_id: str) -> str:
        reload(context, container_id)
        return container_id

    return for_each(selected(call, among=can_reload), one)
