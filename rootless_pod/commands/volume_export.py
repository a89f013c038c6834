"""``rpod volume export``."""

from __future__ import annotations

import os

from rootless_pod.commands.declare import Argument, Call, Command, text
from rootless_pod.errors import HostUnready, Usage

COMMAND = Command(
    name="export",
    summary="Export a volume as a tar archive",
    help="Writes all files of a volume as one tar.",
    options=(
        text("--output", "Write to this file (default: standard output)", "-o", metavar="FILE", completes="file"),
    ),
    arguments=(Argument(name="VOLUME", help="Its name", completes="volume"),),
    examples=("rpod volume export -o data.tar data",),
)


def main(call: Call) -> int:
    """Write the tar."""
    from rootless_pod.storage.diff import write_layer
    from rootless_pod.volumes.mounted import Opened
    from rootless_pod.volumes.volume import find

    output = call.text("output")
    if output in ("", "-"):
        if os.isatty(1):
            raise Usage(
                "refusing to write an archive to the terminal", remedy="give a file with -o, or redirect the output"
            )
        output = "/dev/stdout"
    volume = find(call.paths, call.one("volume"))
    try:
        with (
            Opened(call.paths, volume) as path,
            os.fdopen(os.dup(1), "wb") if output == "/dev/stdout" else open(output, "wb") as file,
        ):
            write_layer(file.write, path, is_upper=False)
    except BrokenPipeError:
        raise
    except OSError as cause:
        raise HostUnready(f"cannot export volume {volume.name}: {cause.strerror}", remedy="check the output") from cause
    return 0
