"""``rpod copy``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command, Option, flag, text
from rootless_pod.commands.transfer_options import TRANSFER_OPTIONS, access_of, options_of, transfer_of, write_digest


def _registry_options(prefix: str, which: str) -> tuple[Option, ...]:
    return (
        text(f"--{prefix}-authfile", f"File of credentials for the {which}", metavar="FILE", completes="file"),
        text(
            f"--{prefix}-cert-dir", f"TLS certificates and keys for the {which}", metavar="DIR", completes="directory"
        ),
        text(f"--{prefix}-creds", f"Credentials for the {which}", metavar="USER[:PASSWORD]"),
        flag(f"--{prefix}-tls-verify", f"Speak HTTPS and check certificates with the {which}", default=True),
    )


COMMAND = Command(
    name="copy",
    summary="Copy an image between registries, archives, directories and the store",
    help=(
        "Copies without unpacking; digests stay unless --format or --compression-format change them. Both ends are "
        "written with a transport: docker://NAME, oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG], "
        "docker-archive:FILE[:NAME], dir:DIRECTORY or containers-storage:NAME (the images of rpod). Of a list of "
        "platforms this machine's is copied, or with --all everything."
    ),
    options=(
        flag("--all", "Copy every platform of a list", "-a"),
        text("--arch", "Choose the image for this architecture", metavar="ARCH", aliases=("--override-arch",)),
        text("--authfile", "File of registry credentials", metavar="FILE", completes="file"),
        text("--cert-dir", "TLS certificates and keys for both registries", metavar="DIR", completes="directory"),
        *_registry_options("dest", "destination"),
        text("--os", "Choose the image for this operating system", metavar="OS", aliases=("--override-os",)),
        text("--platform", "Choose the image for OS/ARCH[/VARIANT]", metavar="PLATFORM"),
        flag("--preserve-digests", "Fail rather than change a digest"),
        text("--signature-policy", "Judge signatures by this policy.json", metavar="FILE", completes="file"),
        *_registry_options("src", "source"),
        flag("--tls-verify", "Speak HTTPS and check certificates at both ends", default=True),
        text(
            "--variant",
            "Choose the image for this variant of the architecture",
            metavar="VARIANT",
            aliases=("--override-variant",),
        ),
        *TRANSFER_OPTIONS,
    ),
    arguments=(Argument(name="SOURCE", help="Where from"), Argument(name="DESTINATION", help="Where to")),
    examples=(
        "rpod copy --all docker://docker.io/library/debian:12 oci:./debian:12",
        "rpod copy docker-archive:app.tar docker://registry.example.org/team/app:1",
        "rpod copy containers-storage:app dir:./app",
    ),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Copy, and write the digest where asked to."""
    from rootless_pod.commands.pull import wanted_platform
    from rootless_pod.image.push import copy
    from rootless_pod.oci.reference import parse_source

    if parse_source(call.one("destination")).transport == "containers-storage":
        # Only what comes into the store is unpacked. Elsewhere gpg finds the user's agent as it is outside.
        call = call.entered()
    transfer = transfer_of(call).replace(
        all_platforms=call.flag("all"),
        platform=wanted_platform(call),
        preserve_digests=call.flag("preserve_digests"),
    )
    options = options_of(call, source=access_of(call, "src_"), destination=access_of(call, "dest_"), transfer=transfer)
    write_digest(call, copy(call.paths, call.one("source"), call.one("destination"), options))
    return 0
