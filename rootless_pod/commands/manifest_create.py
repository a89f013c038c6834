"""``rpod manifest create``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag
from rootless_pod.commands.manifest_marks import MARKS, marks_of
from rootless_pod.commands.pull import REGISTRY_OPTIONS
from rootless_pod.commands.registry_access import registry_access

COMMAND = Command(
    name="create",
    summary="Create a manifest list",
    help=(
        "Makes a list of manifests, an image for several platforms, and puts the images named on it. Prints its digest."
    ),
    options=(
        flag("--all", "Add every manifest of the images that are lists themselves"),
        flag("--amend", "Add to the list if it exists", "-a"),
        *(option for option in MARKS if option.name == "--annotation"),
        *REGISTRY_OPTIONS,
    ),
    arguments=(
        Argument(name="LIST", help="Its name"),
        Argument(name="IMAGE", kind="many", help="Images to put on it", completes="image"),
    ),
    examples=("rpod manifest create app:1 app:1-amd64 app:1-arm64",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Create it, add the images, print the digest."""
    from rootless_pod.image.lists import Marks, add_to_list, create_list

    values = {"os": "", "arch": "", "variant": "", "os_version": "", "os_features": (), **call.values}
    marks = marks_of(call.replace(values=values)) if call.texts("annotation") else Marks()
    digest = create_list(call.paths, call.one("list"), amend=call.flag("amend"))
    for image in call.many("image"):
        digest = add_to_list(
            call.paths, call.one("list"), image, marks, access=registry_access(call), every=call.flag("all")
        )
    sys.stdout.write(f"{digest.removeprefix('sha256:')}\n")
    return 0
