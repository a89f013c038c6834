"""``rpod volume inspect``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag, text
from rootless_pod.errors import RpodError, Usage

COMMAND = Command(
    name="inspect",
    summary="Display what is known of volumes",
    help="Prints volumes as JSON, or through a Go template.",
    options=(
        flag("--all", "Every volume", "-a"),
        text("--format", "json, or a Go template", "-f", metavar="FORMAT", default="json"),
    ),
    arguments=(Argument(name="VOLUME", kind="many", help="Volumes, by name", completes="volume"),),
    examples=("rpod volume inspect data", "rpod volume inspect -f '{{.Mountpoint}}' data"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print those that are found; say which are not."""
    from rootless_pod.commands.table import wants_json
    from rootless_pod.commands.template import pretty_json, print_values
    from rootless_pod.commands.volume_rows import as_json, with_state
    from rootless_pod.volumes.volume import find, list_volumes

    words = call.many("volume")
    if bool(words) == call.flag("all"):
        raise Usage("give names or --all", remedy="see: rpod volume ls")
    code = 0
    found = []
    for one in list_volumes(call.paths) if call.flag("all") else words:
        try:
            volume = find(call.paths, one) if isinstance(one, str) else one
            found.append(with_state(call.paths, volume, ask=True))
        except RpodError as error:
            from rootless_pod.commands.report import report

            code = report(error)
    if wants_json(call.text("format") or "json"):
        sys.stdout.write(pretty_json([as_json(one) for one in found]) + "\n")
    else:
        for one in found:
            print_values(call.text("format"), as_json(one))
    return code
