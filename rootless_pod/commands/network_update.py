"""``rpod network update``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, texts
from rootless_pod.errors import Usage

COMMAND = Command(
    name="update",
    summary="Update the name servers of a network",
    help="Changes which servers are asked for names of the outside; containers that run notice it at once.",
    options=(
        texts("--dns-add", "Ask this server too", metavar="ADDRESS", split=True),
        texts("--dns-drop", "Ask this server no more", metavar="ADDRESS", split=True),
    ),
    arguments=(Argument(name="NETWORK", kind="one", help="Its name or id", completes="network"),),
    examples=("rpod network update backend --dns-add 9.9.9.9 --dns-drop 1.1.1.1",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Change the record and print the network's name."""
    from rootless_pod.network.definitions import Networks
    from rootless_pod.network.options import check_server

    added, dropped = (tuple(check_server(one) for one in call.texts(key)) for key in ("dns_add", "dns_drop"))
    if not added and not dropped:
        raise Usage("nothing to update", remedy="give --dns-add or --dns-drop")
    paths = call.paths
    paths.prepare()
    changed = Networks(paths).update_servers(call.one("network"), added=added, dropped=dropped)
    sys.stdout.write(f"{changed.name}\n")
    return 0
