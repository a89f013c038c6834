"""``rpod manifest remove``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command

COMMAND = Command(
    name="remove",
    summary="Take an image off a manifest list",
    help="Removes one entry of a list; the image itself stays. Prints the list's new digest.",
    arguments=(
        Argument(name="LIST", help="The list's name", completes="image"),
        Argument(name="IMAGE", help="The entry, by digest or by an image here", completes="image"),
    ),
    examples=("rpod manifest remove app:1 sha256:…",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Remove the entry and print the digest."""
    from rootless_pod.image.lists import remove_from_list

    digest = remove_from_list(call.paths, call.one("list"), call.one("image"))
    sys.stdout.write(f"{digest.removeprefix('sha256:')}\n")
    return 0
