"""``rpod pod exists``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.errors import NotFound

COMMAND = Command(
    name="exists",
    summary="Check if a pod exists",
    help="Exit code 0: it does, 1: it does not.",
    arguments=(Argument(name="POD", help="Name or id"),),
    examples=("rpod pod exists web || rpod pod create --name web",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Return 0 or 1."""
    from rootless_pod.container.pod.lookup import find_id

    try:
        find_id(call.paths, call.one("pod"))
    except NotFound:
        return 1
    return 0
