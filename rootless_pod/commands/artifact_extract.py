"""``rpod artifact extract``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command, text
from rootless_pod.errors import Usage

COMMAND = Command(
    name="extract",
    summary="Copy the files of an artifact out of the store",
    help=(
        "Writes an artifact's files into a directory under their titles (or digests), or its one file to a path. Files "
        "that are there already are not replaced."
    ),
    options=(
        text("--digest", "Only the file with this digest", metavar="DIGEST"),
        text("--title", "Only the file with this title", metavar="TITLE"),
    ),
    arguments=(
        Argument(name="ARTIFACT", help="Its name or digest"),
        Argument(name="PATH", help="A directory, or a path for one file", completes="file"),
    ),
    examples=("rpod artifact extract registry.example.org/team/model:1 ./model",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Write the files."""
    from rootless_pod.image.artifact import extract, find_artifact

    if call.text("digest") and call.text("title"):
        raise Usage("--digest can't go with --title", remedy="give one of the two")
    extract(
        call.paths,
        find_artifact(call.paths, call.one("artifact")),
        call.one("path"),
        title=call.text("title"),
        digest=call.text("digest"),
    )
    return 0
