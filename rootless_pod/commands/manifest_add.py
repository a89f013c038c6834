"""``rpod manifest add``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag
from rootless_pod.commands.manifest_marks import MARKS, marks_of
from rootless_pod.commands.pull import REGISTRY_OPTIONS
from rootless_pod.commands.registry_access import registry_access

COMMAND = Command(
    name="add",
    summary="Add images to a manifest list",
    help=(
        "Puts an image on a list: one of the store by name, or docker://NAME, oci:DIRECTORY[:TAG], oci-archive:FILE, "
        "docker-archive:FILE, dir:DIRECTORY. Prints the list's new digest."
    ),
    options=(flag("--all", "Add every manifest of an image that is a list itself"), *MARKS, *REGISTRY_OPTIONS),
    arguments=(
        Argument(name="LIST", help="The list's name", completes="image"),
        Argument(name="IMAGE", kind="many", least=1, help="Images to put on it", completes="image"),
    ),
    examples=("rpod manifest add app:1 app:1-arm64", "rpod manifest add --arch arm64 --variant v8 app:1 oci:./build"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Add each image and print the digest."""
    from rootless_pod.image.lists import add_to_list

    digest, marks = "", marks_of(call)
    for image in call.many("image"):
        digest = add_to_list(
            call.paths, call.one("list"), image, marks, access=registry_access(call), every=call.flag("all")
        )
    sys.stdout.write(f"{digest.removeprefix('sha256:')}\n")
    return 0
