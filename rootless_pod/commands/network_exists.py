"""``rpod network exists``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.errors import NotFound

COMMAND = Command(
    name="exists",
    summary="Check if a network exists",
    help="Exit code 0 if there is a network of this name or id, 1 if not.",
    arguments=(Argument(name="NETWORK", help="Its name or id", completes="network"),),
    examples=("rpod network exists backend && echo yes",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Say it with the exit code."""
    from rootless_pod.network.definitions import Networks

    try:
        Networks(call.paths).find_name(call.one("network"))
    except NotFound:
        return 1
    return 0
