"""``rpod untag``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command

COMMAND = Command(
    name="untag",
    summary="Remove names from an image",
    help="Takes the names given (without any: all) from an image. The image stays.",
    arguments=(
        Argument(name="IMAGE", help="The image, by name or id", completes="image"),
        Argument(name="NAME", kind="many", help="The names to take away"),
    ),
    examples=("rpod untag app", "rpod untag app localhost/app:old"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Take the names away."""
    from rootless_pod.image.remove import untag_image

    untag_image(call.paths, call.one("image"), call.many("name"))
    return 0
