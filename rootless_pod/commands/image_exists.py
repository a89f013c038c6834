"""``rpod image exists``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.errors import NotFound

COMMAND = Command(
    name="exists",
    summary="Check if an image exists",
    help="Ends with 0 if the image is here, with 1 if it is not; prints nothing.",
    arguments=(Argument(name="IMAGE", help="The image, by name or id", completes="image"),),
    examples=("rpod image exists app || rpod pull app",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Look."""
    from rootless_pod.image.lookup import lookup

    try:
        lookup(call.paths, call.one("image"))
    except NotFound:
        return 1
    return 0
