"""``rpod network connect``."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, text, texts

COMMAND = Command(
    name="connect",
    summary="Connect a container with a network",
    help="Has a container join one more network: at once if it runs, and whenever it is started.",
    options=(
        texts("--alias", "Name the container is found by on this network", split=True, metavar="NAME"),
        text("--ip", "IPv4 address on this network", metavar="IP"),
        text("--ip6", "IPv6 address on this network", metavar="IP"),
        text("--mac-address", "MAC address on this network", metavar="MAC"),
    ),
    arguments=(
        Argument(name="NETWORK", help="The network, by name or id", completes="network"),
        Argument(name="CONTAINER", help="The container, by name or id", completes="container"),
    ),
    examples=("rpod network connect backend web", "rpod network connect --alias db --ip 10.89.0.9 backend web"),
)


def main(call: Call) -> int:
    """Connect them."""
    from rootless_pod.container.lookup import find_id
    from rootless_pod.container.networks import connect
    from rootless_pod.network.joins import NetworkJoin, checked

    addresses = checked(ip=call.text("ip"), ip6=call.text("ip6"), mac=call.text("mac_address"))
    join = NetworkJoin(network=call.one("network"), aliases=call.texts("alias"), **addresses)
    connect(context_of(call), find_id(call.paths, call.one("container")), join)
    return 0
