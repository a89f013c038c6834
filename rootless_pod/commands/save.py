"""``rpod save``."""

from __future__ import annotations

import os

from rootless_pod.commands.declare import Argument, Call, Command, Option, flag, text
from rootless_pod.errors import Usage

COMMAND = Command(
    name="save",
    summary="Save images to an archive",
    help=(
        "Writes an image to an archive or a directory that docker, podman and skopeo read. A further word that names "
        "another image here is saved as well; any other is a further name for the first image."
    ),
    options=(
        Option(
            name="--format",
            help="docker-archive, oci-archive, oci-dir or docker-dir",
            metavar="FORMAT",
            default="docker-archive",
            choices=("docker-archive", "oci-archive", "oci-dir", "docker-dir"),
        ),
        flag("--compress", "Pack plain layers with gzip, for the format docker-dir (others keep what they have)"),
        flag("--multi-image-archive", "Take every word as an image, none as a further name", "-m"),
        text(
            "--output",
            "Write to this file or directory (default: standard output)",
            "-o",
            metavar="FILE",
            completes="file",
        ),
        flag("--quiet", "Accepted: nothing but errors is printed anyway", "-q"),
        flag("--uncompressed", "Accepted: layers keep the compression they have", hidden=True),
    ),
    arguments=(Argument(name="IMAGE", kind="many", least=1, help="Images, by name or id", completes="image"),),
    examples=("rpod save -o app.tar app", "rpod save --format oci-archive app | ssh node rpod load"),
)


def main(call: Call) -> int:
    """Write the archive."""
    from rootless_pod.image.save import gather, save, save_compressed
    from rootless_pod.oci.digest import hex_of
    from rootless_pod.state.events import emit

    output_format, output = call.text("format"), call.text("output")
    if not output and output_format.endswith("-dir"):
        raise Usage(f"{output_format} needs a directory", remedy="give one with -o DIR")
    if not output and os.isatty(1):
        raise Usage(
            "refusing to write an archive to the terminal", remedy="give a file with -o, or redirect the output"
        )
    if call.flag("compress") and output_format != "docker-dir":
        raise Usage("--compress can only be set when --format is 'docker-dir'", remedy="add --format docker-dir")
    images = gather(
        call.paths,
        call.many("image"),
        output_format=output_format,
        several=call.flag("multi_image_archive"),
        packed_anew=call.flag("compress"),
    )
    if call.flag("compress"):
        save_compressed(call.paths, images[0], output)
    elif output and output not in ("-", "/dev/stdout"):
        save(images, output_format=output_format, output=output)
    else:
        output = "/dev/stdout"
        with os.fdopen(os.dup(1), "wb") as file:
            save(images, output_format=output_format, output=file)
    for image in images:
        emit(call.paths, "image", "save", id=hex_of(image.manifest.config.digest), name=output)
    return 0
