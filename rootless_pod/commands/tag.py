"""``rpod tag``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command

COMMAND = Command(
    name="tag",
    summary="Add a name to an image",
    help="Gives an image further names; a name another image has moves over. Without a registry it is localhost/NAME.",
    arguments=(
        Argument(name="IMAGE", help="The image, by name or id", completes="image"),
        Argument(name="TARGET_NAME", kind="many", least=1, help="Its new names"),
    ),
    examples=("rpod tag app:1 registry.example.org/team/app:1",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Add the names."""
    from rootless_pod.image.remove import tag_image

    tag_image(call.paths, call.one("image"), call.many("target_name"))
    return 0
