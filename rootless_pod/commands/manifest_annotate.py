"""``rpod manifest annotate``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.commands.manifest_marks import MARKS, marks_of

COMMAND = Command(
    name="annotate",
    summary="Change what a manifest list says of one of its images",
    help="Sets platform and annotations of an entry. Prints the list's new digest.",
    options=MARKS,
    arguments=(
        Argument(name="LIST", help="The list's name", completes="image"),
        Argument(name="IMAGE", help="The entry, by digest or by an image here", completes="image"),
    ),
    examples=("rpod manifest annotate --arch arm64 app:1 app:1-arm64",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Change the entry and print the digest."""
    from rootless_pod.image.lists import annotate_list

    digest = annotate_list(call.paths, call.one("list"), call.one("image"), marks_of(call))
    sys.stdout.write(f"{digest.removeprefix('sha256:')}\n")
    return 0
