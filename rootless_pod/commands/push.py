"""``rpod push``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command, flag
from rootless_pod.commands.pull import REGISTRY_OPTIONS
from rootless_pod.commands.transfer_options import TRANSFER_OPTIONS, access_of, options_of, transfer_of, write_digest

COMMAND = Command(
    name="push",
    summary="Push an image to a registry, an archive or a directory",
    help=(
        "Sends an image of the store to the registry in its name, or to DESTINATION: REGISTRY/NAME[:TAG], "
        "docker://NAME, oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME] or dir:DIRECTORY. "
        "Blobs go as they are, so digests stay; layers that are not compressed are packed with gzip for a registry. "
        "What the registry has already is not sent."
    ),
    options=(
        *REGISTRY_OPTIONS,
        flag("--compress", "Accepted: layers keep the compression they have", hidden=True),
        flag(
            "--disable-content-trust", "Accepted for Docker's sake: there is no Docker content trust here", hidden=True
        ),
        *TRANSFER_OPTIONS,
    ),
    arguments=(
        Argument(name="IMAGE", help="An image here, by name or id", completes="image"),
        Argument(name="DESTINATION", kind="optional", help="Where to, if the name doesn't say"),
    ),
    examples=(
        "rpod push registry.example.org/team/app:1",
        "rpod push --tls-verify=false app localhost:5000/app",
        "rpod push --compression-format zstd app oci:./layout:v1",
    ),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Push; nothing is printed on stdout, as podman does."""
    from rootless_pod.image.push import push

    access = access_of(call)
    options = options_of(call, source=access, destination=access, transfer=transfer_of(call))
    write_digest(call, push(call.paths, call.one("image"), call.one("destination"), options))
    return 0
