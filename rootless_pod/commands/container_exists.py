"""``rpod container exists``: the answer is the exit code."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command, flag
from rootless_pod.container.lookup import find_id
from rootless_pod.errors import NotFound

COMMAND = Command(
    name="exists",
    summary="Check if a container exists",
    help="Exit code 0: it exists; 1: it does not; 125: something is wrong.",
    options=(flag("--external", "Also look for containers of other tools (rpod's store has none)"),),
    arguments=(Argument(name="CONTAINER", help="Name or id", completes="container"),),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Return 0 if the container is there, 1 if not."""
    try:
        find_id(call.paths, call.one("container"))
    except NotFound:
        return 1
    return 0
