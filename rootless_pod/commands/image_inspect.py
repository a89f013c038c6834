"""``rpod image inspect``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, text
from rootless_pod.errors import RpodError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.paths import Paths

COMMAND = Command(
    name="inspect",
    summary="Display the configuration of images",
    help="Prints everything known of images as JSON, or through a Go template.",
    options=(text("--format", "json, or a Go template", "-f", metavar="FORMAT", default="json"),),
    arguments=(Argument(name="IMAGE", kind="many", least=1, help="Images, by name or id", completes="image"),),
    examples=("rpod image inspect app", "rpod image inspect -f '{{.Config.Env}}' app"),
    needs_userns=False,
)


def inspect_image(paths: Paths, name: str) -> dict[str, Any]:
    """Return what is known of the image ``name``; ``rpod inspect`` asks here too.

    Raises:
        NotFound: no such image.
    """
    from rootless_pod.image import inspect
    from rootless_pod.image.lookup import lookup

    return inspect.inspect_image(paths, lookup(paths, name))


def main(call: Call) -> int:
    """Print those that are found; say which are not."""
    from rootless_pod.commands.table import wants_json
    from rootless_pod.commands.template import pretty_json, print_values

    found, code = [], 0
    for name in call.many("image"):
        try:
            found.append(inspect_image(call.paths, name))
        except RpodError as error:
            from rootless_pod.commands.report import report

            code = report(error)
    if wants_json(call.text("format") or "json"):
        sys.stdout.write(pretty_json(found) + "\n")
    else:
        for one in found:
            print_values(call.text("format"), one)
    return code
