"""``rpod network disconnect``."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, flag

COMMAND = Command(
    name="disconnect",
    summary="Take a container off a network",
    help="Takes a container off a network: at once if it runs, and for every later start.",
    options=(flag("--force", "Also if it runs, which needs no force here", "-f"),),
    arguments=(
        Argument(name="NETWORK", help="The network, by name or id", completes="network"),
        Argument(name="CONTAINER", help="The container, by name or id", completes="container"),
    ),
    examples=("rpod network disconnect backend web",),
)


def main(call: Call) -> int:
    """Disconnect them."""
    from rootless_pod.container.lookup import find_id
    from rootless_pod.container.networks import disconnect, find_network

    context = context_of(call)
    network = find_network(context, call.one("network"))
    disconnect(context, find_id(call.paths, call.one("container")), network)
    return 0
