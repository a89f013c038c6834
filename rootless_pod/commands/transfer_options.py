"""Options that ``push`` and ``copy`` share, and what they mean."""

from __future__ import annotations

from rootless_pod.commands.declare import Option, flag, text
from rootless_pod.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.commands.declare import Call
    from rootless_pod.image.push import CopyOptions
    from rootless_pod.image.recompress import Compression
    from rootless_pod.image.registry.connect import Access
    from rootless_pod.image.sign import Signing
    from rootless_pod.image.transfer import TransferOptions, Transferred

SIGNING_OPTIONS = (
    text("--sign-by", "Sign with this OpenPGP key of gpg's", metavar="KEY"),
    text("--sign-by-sigstore", "Sign as this file of parameters says", metavar="PARAM-FILE", completes="file"),
    text("--sign-by-sigstore-private-key", "Sign with the sigstore key in FILE", metavar="FILE", completes="file"),
    text("--sign-identity", "The name to sign for (default: that of the destination)", metavar="NAME"),
    text("--sign-passphrase-file", "Its first line is the key's passphrase", metavar="FILE", completes="file"),
)
TRANSFER_OPTIONS = (
    Option(
        name="--compression-format",
        help="Pack layers as gzip, zstd or zstd:chunked (all of them, unless --force-compression=false)",
        metavar="FORMAT",
        default="",
        choices=("gzip", "zstd", "zstd:chunked"),
    ),
    Option(name="--compression-level", kind="uint", help="How hard to pack: gzip 1 to 9, zstd 1 to 20", metavar="N"),
    text("--digestfile", "Write the digest of what arrived to this file", metavar="FILE", completes="file"),
    Option(name="--encrypt-layer", kind="list", help="Not supported", refuse="encrypted layers are not supported"),
    Option(name="--encryption-key", kind="list", help="Not supported", refuse="encrypted layers are not supported"),
    flag("--force-compression", "Pack layers anew even if they are compressed already"),
    Option(
        name="--format",
        short="-f",
        help="Kind of manifest: oci, v2s2 or v2s1 (default: as it is)",
        metavar="FORMAT",
        default="",
        choices=("oci", "v2s2", "v2s1"),
    ),
    flag("--quiet", "Show no progress", "-q"),
    flag("--remove-signatures", "Accepted: signatures are never copied along"),
    Option(name="--retry", kind="uint", help="Try so often again after a passing fault (default 3)", metavar="N"),
    Option(name="--retry-delay", kind="duration", help="First pause before trying again", metavar="DURATION"),
    *SIGNING_OPTIONS,
)


def compression_of(call: Call) -> Compression:
    """Return how layers shall be packed: a format named on the command line is for all of them."""
    from rootless_pod.image.recompress import Compression

    kind = call.text("compression_format")
    force = call.flag("force_compression") if "force_compression" in call.given else bool(kind)
    return Compression(kind=kind, level=call.number("compression_level"), force=force)


def transfer_of(call: Call) -> TransferOptions:
    """Return what to change on the way."""
    from rootless_pod.image.transfer import TransferOptions

    return TransferOptions(manifest_format=call.text("format"), compression=compression_of(call))


def access_of(call: Call, prefix: str = "") -> Access:
    """Return how to reach a registry from the options ``--[PREFIX-]creds`` … and those for both ends."""
    from rootless_pod.commands.quantity import parse_duration
    from rootless_pod.image.registry.connect import Access

    def chosen(name: str) -> str | None:
        own = call.text(f"{prefix}{name}") if f"{prefix}{name}" in call.values else ""
        return own or (call.text(name) if name in call.values else "") or None

    verify = None
    for key in ("tls_verify", f"{prefix}tls_verify"):
        if key in call.given:
            verify = call.flag(key)
    access = Access(
        tls_verify=verify,
        authfile=chosen("authfile"),
        cert_dir=chosen("cert_dir"),
        creds=call.text(f"{prefix}creds") or None,
    )
    if "retry" in call.given:
        access = access.replace(attempts=(call.number("retry") or 0) + 1)
    if call.text("retry_delay"):
        access = access.replace(first_pause_seconds=parse_duration(call.text("retry_delay")) / 1e9)
    return access


def signing_of(call: Call) -> Signing | None:
    """Return who signs, None where nobody was asked to."""
    if not any(call.text(name) for name in ("sign_by", "sign_by_sigstore", "sign_by_sigstore_private_key")):
        return None
    from rootless_pod.image.sign import Signing

    return Signing(
        gpg_key=call.text("sign_by"),
        sigstore_key=call.text("sign_by_sigstore_private_key"),
        passphrase_file=call.text("sign_passphrase_file"),
        identity=call.text("sign_identity"),
        params=call.text("sign_by_sigstore"),
    )


def write_digest(call: Call, done: Transferred) -> None:
    """Write ``--digestfile`` (raises Usage where it can't be written)."""
    path = call.text("digestfile")
    if not path:
        return
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(done.digest)
    except OSError as cause:
        raise Usage(f"cannot write {path}: {cause.strerror}", remedy="give another file to --digestfile") from cause


def options_of(call: Call, *, source: Access, destination: Access, transfer: TransferOptions) -> CopyOptions:
    """Join the parts."""
    from rootless_pod.image.push import CopyOptions

    return CopyOptions(
        transfer=transfer,
        source=source,
        destination=destination,
        quiet=call.flag("quiet"),
        single_id=call.namespace is not None and call.namespace.single_id,
        signature_policy=(call.text("signature_policy") if "signature_policy" in call.values else "") or None,
        signing=signing_of(call),
    )
