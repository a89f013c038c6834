"""``rpod export``."""

from __future__ import annotations

import os

from rootless_pod.commands.declare import Argument, Call, Command, text
from rootless_pod.errors import Usage

COMMAND = Command(
    name="export",
    summary="Export the file system of a container as a tar archive",
    help="Writes all files of a container, running or not, as one tar; its volumes are left out.",
    options=(
        text("--output", "Write to this file (default: standard output)", "-o", metavar="FILE", completes="file"),
    ),
    arguments=(Argument(name="CONTAINER", help="The container, by name or id", completes="container"),),
    examples=("rpod export -o job.tar job", "rpod export job | tar -t"),
)


def main(call: Call) -> int:
    """Write the tar."""
    from rootless_pod.commands.context import context_of
    from rootless_pod.container.export import export

    output = call.text("output")
    if output in ("-", "/dev/stdout"):
        output = ""
    if not output and os.isatty(1):
        raise Usage(
            "refusing to write an archive to the terminal", remedy="give a file with -o, or redirect the output"
        )
    export(context_of(call), call.one("container"), output)
    return 0
