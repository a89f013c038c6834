"""``rpod load``."""

from __future__ import annotations

import os
import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag, text
from rootless_pod.errors import Usage

COMMAND = Command(
    name="load",
    summary="Load images from an archive",
    help=(
        "Loads every image of an archive (from docker save, podman save, skopeo; plain or compressed) or of a "
        "directory (an OCI layout or skopeo's dir:). What it is is found by looking."
    ),
    options=(
        text(
            "--input", "Read this file or directory instead of standard input", "-i", metavar="FILE", completes="file"
        ),
        flag("--quiet", "Show no progress", "-q"),
        text("--signature-policy", "The trust policy to use", metavar="FILE", completes="file", hidden=True),
    ),
    arguments=(Argument(name="FILE", kind="optional", help="The same as --input", completes="file"),),
    examples=("rpod load -i image.tar", "podman save app | rpod load"),
)


def main(call: Call) -> int:
    """Load, and print the names that came in (or the ids of images without one)."""
    from rootless_pod.image.load import load_file

    path = call.text("input") or call.one("file")
    if not path and os.isatty(0):
        raise Usage("standard input is a terminal", remedy="give a file with -i, or redirect: rpod load < image.tar")
    single_id = call.namespace is not None and call.namespace.single_id
    given = path if path and path not in ("-", "/dev/stdin") else os.fdopen(os.dup(0), "rb")
    policy = call.text("signature_policy") or None
    quiet = call.flag("quiet")
    for loaded in load_file(call.paths, given, single_id=single_id, quiet=quiet, signature_policy=policy):
        for name in loaded.names or (f"sha256:{loaded.image.id}",):
            sys.stdout.write(f"Loaded image: {name}\n")
    return 0
