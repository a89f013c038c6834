"""``rpod import``."""

from __future__ import annotations

import os
import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag, text, texts
from rootless_pod.commands.pull import wanted_platform
from rootless_pod.errors import Usage

COMMAND = Command(
    name="import",
    summary="Create an image from a root file system",
    help=(
        "Makes an image of one layer from a tar (plain or packed with gzip, zstd, xz or bzip2), given as a file, an "
        "http address or - for standard input, or from a directory. Prints the image's id."
    ),
    options=(
        text("--arch", "Say that it is for this architecture", metavar="ARCH"),
        texts(
            "--change",
            "Apply a Dockerfile instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR",
            "-c",
            metavar="INSTRUCTION",
        ),
        text("--message", "Say what it is, in the image's history", "-m", metavar="TEXT"),
        text("--os", "Say that it is for this operating system", metavar="OS"),
        text("--platform", "Say that it is for OS/ARCH[/VARIANT]", metavar="PLATFORM", hidden=True),
        flag("--quiet", "Accepted: nothing but the id is printed anyway", "-q"),
        text("--variant", "Say that it is for this variant of the architecture", metavar="VARIANT"),
    ),
    arguments=(
        Argument(name="SOURCE", help="File, directory, http address, or -", completes="file"),
        Argument(name="REFERENCE", kind="optional", help="A name for the image"),
    ),
    examples=(
        "rpod import rootfs.tar.xz debian:mine",
        "rpod import -c 'CMD /bin/sh' ./tree app",
        "rpod export job | rpod import - job:flat",
    ),
)


def main(call: Call) -> int:
    """Import and print the id."""
    from rootless_pod.image.import_tar import ImportRequest, import_image

    source = call.one("source")
    if source == "-" and os.isatty(0):
        raise Usage("standard input is a terminal", remedy="redirect: rpod import - NAME < rootfs.tar")
    request = ImportRequest(
        source=source,
        name=call.one("reference"),
        changes=call.texts("change"),
        message=call.text("message"),
        platform=wanted_platform(call) or "",
    )
    single_id = call.namespace is not None and call.namespace.single_id
    image = import_image(call.paths, request, single_id=single_id)
    sys.stdout.write(f"sha256:{image.id}\n")
    return 0
