"""``rpod port``: where the ports of containers are found on the host."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag
from rootless_pod.commands.selection import LATEST
from rootless_pod.container import lookup
from rootless_pod.errors import NotFound, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.lookup import Container

COMMAND = Command(
    name="port",
    summary="List port mappings of a container",
    help="Prints where each published port is found on the host, or only where PORT is (80 means 80/tcp).",
    options=(flag("--all", "Of all containers, with their ids", "-a"), LATEST),
    arguments=(Argument(name="CONTAINER", kind="many", help="Name or id, then the port", completes="container"),),
    examples=("rpod port web", "rpod port web 80/tcp"),
    needs_userns=False,
)
_SHOWN_ID = 12


def main(call: Call) -> int:
    """Print the mappings."""
    from rootless_pod.container.pod.lookup import with_pod_ports

    words = call.many("container")
    if call.flag("all"):
        if words or call.flag("latest"):
            raise Usage("--all can't go with a name or --latest", remedy="leave out one of them")
        for one in lookup.list_all(call.paths):
            for inner, outer in mappings(with_pod_ports(call.paths, one)):
                sys.stdout.write(f"{one.id[:_SHOWN_ID]}\t{inner} -> {outer}\n")
        return 0
    if call.flag("latest"):
        container = lookup.latest(call.paths)
    elif words:
        container, words = lookup.find(call.paths, words[0]), words[1:]
    else:
        raise Usage("no container named", remedy="give a name or an id, --latest or --all")
    if len(words) > 1:
        raise Usage("port takes a container and one port", remedy="ask for each port by itself")
    wanted = _port(words[0]) if words else None
    found = [one for one in mappings(with_pod_ports(call.paths, container)) if wanted in (None, one[0])]
    if wanted and not found:
        raise NotFound(
            f"container {container.config.name} publishes no port {wanted}",
            remedy=f"see what it publishes: rpod port {container.config.name}",
        )
    for inner, outer in found:
        sys.stdout.write(f"{outer}\n" if wanted else f"{inner} -> {outer}\n")
    return 0


def mappings(container: Container) -> list[tuple[str, str]]:
    """Return (``80/tcp``, ``0.0.0.0:8080``) for each published port, in order."""
    network = container.state.get("network") or {}
    rows = network.get("ports") or [one.as_dict() for one in container.config.request.network.publish]
    rows = sorted(rows, key=lambda row: (row["container_port"], row["protocol"], row["host_port"]))
    found = []
    for row in rows:
        address = row.get("host_ip") or "0.0.0.0"  # noqa: S104 - what is shown, not bound
        address = f"[{address}]" if ":" in address else address
        found.append((f"{row['container_port']}/{row['protocol']}", f"{address}:{row['host_port']}"))
    return found


def _port(text: str) -> str:
    number, _slash, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if not number.isdigit() or protocol not in ("tcp", "udp", "sctp"):
        raise Usage(f"{text!r} is not a port", remedy="write a number, or a number with /tcp, /udp or /sctp")
    return f"{int(number)}/{protocol}"
