"""``rpod pull``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag, text
from rootless_pod.errors import RpodError, Usage

REGISTRY_OPTIONS = (
    text("--authfile", "File of registry credentials", metavar="FILE", completes="file"),
    text("--cert-dir", "Directory of TLS certificates and keys for the registry", metavar="DIR", completes="directory"),
    text("--creds", "Credentials for the registry", metavar="USER[:PASSWORD]"),
    flag("--tls-verify", "Speak HTTPS and check certificates", default=True),
)

COMMAND = Command(
    name="pull",
    summary="Pull an image from a registry or an archive",
    help=(
        "Brings images here and prints their ids. Besides a name, an image may be given as docker://NAME, "
        "oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME] or dir:DIRECTORY."
    ),
    options=(
        flag("--all-platforms", "Bring the image for every platform, kept as a manifest list"),
        flag("--all-tags", "Pull every tag of the repository", "-a"),
        text("--arch", "Choose the image for this architecture", metavar="ARCH"),
        *REGISTRY_OPTIONS,
        flag(
            "--disable-content-trust", "Accepted for Docker's sake: there is no Docker content trust here", hidden=True
        ),
        text("--os", "Choose the image for this operating system", metavar="OS"),
        text("--platform", "Choose the image for OS/ARCH[/VARIANT]", metavar="PLATFORM"),
        flag("--quiet", "Show no progress", "-q"),
        text("--signature-policy", "The trust policy to use", metavar="FILE", completes="file", hidden=True),
        text("--variant", "Choose the image for this variant of the architecture", metavar="VARIANT"),
    ),
    arguments=(Argument(name="IMAGE", kind="many", least=1, help="Names of images"),),
    examples=(
        "rpod pull docker.io/library/debian:12",
        "rpod pull --tls-verify=false localhost:5000/app",
        "rpod pull oci:./layout:v1",
    ),
)


def main(call: Call) -> int:
    """Pull each image; go on after a failure, as the others may be fine."""
    from rootless_pod.image.pull import PullOptions, pull

    options = PullOptions(
        platform=wanted_platform(call),
        quiet=call.flag("quiet"),
        tls_verify=call.flag("tls_verify") if "tls_verify" in call.given else None,
        authfile=call.text("authfile") or None,
        creds=call.text("creds") or None,
        cert_dir=call.text("cert_dir") or None,
        all_tags=call.flag("all_tags"),
        single_id=call.namespace is not None and call.namespace.single_id,
        signature_policy=call.text("signature_policy") or None,
    )
    code, every = 0, call.flag("all_platforms")
    if every and (options.platform or options.all_tags):
        raise Usage("--all-platforms can't go with a platform or --all-tags", remedy="give one of them")
    for name in call.many("image"):
        try:
            if every:
                sys.stdout.write(f"{_pull_list(call, name)}\n")
                continue
            for image in pull(call.paths, name, options):
                sys.stdout.write(f"{image.id}\n")
        except RpodError as error:
            from rootless_pod.commands.report import report

            sys.stdout.flush()
            code = report(error)
    return code


def _pull_list(call: Call, name: str) -> str:
    from rootless_pod.commands.registry_access import registry_access
    from rootless_pod.image.lists import pull_list

    return pull_list(call.paths, name, registry_access(call)).removeprefix("sha256:")


def wanted_platform(call: Call) -> str | None:
    """Return what ``--platform`` or ``--os``, ``--arch`` and ``--variant`` ask for, None for the machine's own.

    Raises:
        Usage: both ways were used, or a variant stands alone.
    """
    from rootless_pod.oci.platform import host_platform

    platform = call.text("platform")
    system, architecture, variant = call.text("os"), call.text("arch"), call.text("variant")
    if not (system or architecture or variant):
        return platform or None
    if platform:
        raise Usage("--platform can't go with --os, --arch or --variant", remedy="use one of the two ways")
    here = host_platform()
    parts = [system or here.os, architecture or here.architecture, *([variant] if variant else [])]
    return "/".join(parts)
