"""``rpod image unmount``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag
from rootless_pod.commands.image_mount import require_inside
from rootless_pod.errors import RpodError, Usage

COMMAND = Command(
    name="unmount",
    summary="Unmount images mounted by rpod image mount",
    help="Takes back one image mount; with the last one of an image it is unmounted. Prints the ids.",
    options=(
        flag("--all", "Unmount every image", "-a"),
        flag("--force", "Unmount whoever else asked for it", "-f"),
    ),
    arguments=(Argument(name="IMAGE", kind="many", help="Images, by name or id", completes="image"),),
    examples=("rpod unshare rpod image unmount app",),
)


def main(call: Call) -> int:
    """Unmount and print the ids."""
    from rootless_pod.image.lookup import lookup
    from rootless_pod.image.mounts import mounted_images, unmount_image
    from rootless_pod.state.events import emit

    require_inside("image unmount")
    words, everything = call.many("image"), call.flag("all")
    if bool(words) == everything:
        raise Usage("give names or --all", remedy="see what is mounted: rpod unshare rpod image mount")
    if everything:
        words = tuple(one.image_id for one in mounted_images(call.paths))
    code = 0
    for word in words:
        try:
            image_id = word if everything else lookup(call.paths, word).id
            if unmount_image(call.paths, image_id, force=call.flag("force") or everything):
                emit(call.paths, "image", "unmount", id=image_id, name=word)
                sys.stdout.write(f"{image_id}\n")
        except RpodError as error:
            from rootless_pod.commands.report import report

            sys.stdout.flush()
            code = report(error)
    return code
