"""``rpod image sign``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command, flag, text
from rootless_pod.errors import Usage

COMMAND = Command(
    name="sign",
    summary="Sign images that are in a registry",
    help=(
        "Makes a simple signature of each image with an OpenPGP key of gpg's and keeps it in the lookaside store that "
        "registries.d names for the registry (~/.local/share/containers/sigstore where none is named). Only the "
        "image's manifest is fetched. To sign while pushing: rpod push --sign-by."
    ),
    options=(
        flag("--all", "Sign the images of a list too", "-a"),
        text("--authfile", "File of registry credentials", metavar="FILE", completes="file"),
        text("--cert-dir", "TLS certificates and keys for the registry", metavar="DIR", completes="directory"),
        text("--directory", "Keep the signatures below this directory", "-d", metavar="DIR", completes="directory"),
        text("--sign-by", "The OpenPGP key to sign with", metavar="KEY"),
        text("--sign-passphrase-file", "Its first line is the key's passphrase", metavar="FILE", completes="file"),
        flag("--tls-verify", "Speak HTTPS and check certificates", default=True),
    ),
    arguments=(Argument(name="IMAGE", kind="many", least=1, help="docker://REGISTRY/NAME[:TAG]"),),
    examples=("rpod image sign --sign-by ann@example.org docker://registry.example.org/team/app:1",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Sign; nothing is printed, as podman does."""
    from rootless_pod.image.registry.connect import Access
    from rootless_pod.image.sign import Signing
    from rootless_pod.image.sign_there import SignOptions, sign_images

    if not call.text("sign_by"):
        raise Usage("please provide an identity", remedy="name the key to sign with: --sign-by ann@example.org")
    access = Access(
        tls_verify=call.flag("tls_verify") if "tls_verify" in call.given else None,
        authfile=call.text("authfile") or None,
        cert_dir=call.text("cert_dir") or None,
    )
    signing = Signing(gpg_key=call.text("sign_by"), passphrase_file=call.text("sign_passphrase_file"))
    options = SignOptions(signing=signing, directory=call.text("directory"), every=call.flag("all"), access=access)
    sign_images(call.paths, call.many("image"), options)
    return 0
