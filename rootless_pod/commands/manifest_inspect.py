"""``rpod manifest inspect``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.commands.pull import REGISTRY_OPTIONS
from rootless_pod.commands.registry_access import registry_access

COMMAND = Command(
    name="inspect",
    summary="Display a manifest list, or a manifest of the store or a registry",
    help="Prints the document: a list of the store, an image's manifest, or what docker://NAME and the like lead to.",
    options=REGISTRY_OPTIONS,
    arguments=(Argument(name="NAME", help="A list or image, or TRANSPORT:NAME", completes="image"),),
    examples=("rpod manifest inspect app:1", "rpod manifest inspect docker://docker.io/library/debian"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print the document."""
    import json

    from rootless_pod import jsontext
    from rootless_pod.image.lists import read_document

    document = jsontext.loads(read_document(call.paths, call.one("name"), registry_access(call)))
    sys.stdout.write(json.dumps(document, indent=4, ensure_ascii=False) + "\n")
    return 0
