"""``rpod image diff``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.commands.diff import FORMAT, print_image_diff

COMMAND = Command(
    name="diff",
    summary="Show how an image differs from what it stands on",
    help="Prints a line a path: A added, C changed, D deleted; of the top layer, or against another image.",
    options=(FORMAT,),
    arguments=(
        Argument(name="IMAGE", help="The image, by name or id", completes="image"),
        Argument(name="OTHER", kind="optional", help="An image to compare with", completes="image"),
    ),
    examples=("rpod image diff app", "rpod image diff app:2 app:1"),
)


def main(call: Call) -> int:
    """Print the changes."""
    return print_image_diff(call, call.one("image"), call.one("other"))
