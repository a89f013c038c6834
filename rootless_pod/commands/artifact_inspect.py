"""``rpod artifact inspect``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, text

COMMAND = Command(
    name="inspect",
    summary="Display an artifact's manifest",
    help="Prints an artifact's name, digest and manifest.",
    options=(text("--format", "json, or a Go template", "-f", metavar="FORMAT", default="json"),),
    arguments=(Argument(name="ARTIFACT", help="Its name or digest"),),
    examples=("rpod artifact inspect registry.example.org/team/model:1",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print it."""
    from rootless_pod import jsontext
    from rootless_pod.commands.table import wants_json
    from rootless_pod.commands.template import pretty_json, print_values
    from rootless_pod.image.artifact import find_artifact
    from rootless_pod.image.layout import open_layout

    entry = find_artifact(call.paths, call.one("artifact")).entry
    found = {
        "Manifest": jsontext.loads(open_layout(call.paths).read_blob(entry.digest)),
        "Name": entry.name or "",
        "Digest": entry.digest,
    }
    if wants_json(call.text("format") or "json"):
        sys.stdout.write(pretty_json(found) + "\n")
    else:
        print_values(call.text("format"), found)
    return 0
