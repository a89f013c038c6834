"""Signing what is pushed: the keys are opened and the place is looked at before anything is sent."""

from __future__ import annotations

from rootless_pod.errors import Refused, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.oci.reference import parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.image.destination import ImageDestination
    from rootless_pod.image.registry.destination import RegistryDestination
    from rootless_pod.image.trust.deposit import Deposit
    from rootless_pod.image.trust.signer import Signer
    from rootless_pod.oci.reference import Source

_CANNOT = {
    "oci": "Pushing signatures for OCI images is not supported",
    "oci-archive": "Pushing signatures for OCI images is not supported",
    "docker-archive": "Storing signatures for docker tar files is not supported",
}


class Signing(Frozen):
    """Who signs: an OpenPGP key of gpg's, a file with a sigstore private key, or both; ``""`` is neither.

    ``passphrase`` (of the one that is given) None: it is asked for. ``identity``: the name to sign for, "" for that
    of the place. ``params``: a file of signing parameters that names the sigstore key.
    """

    gpg_key: str = ""
    sigstore_key: str = ""
    passphrase_file: str = ""
    identity: str = ""
    params: str = ""


class ImageSigner:
    """Opened keys, and where the signatures of each go."""

    def __init__(self, pairs: list[tuple[Signer, Deposit]], reference: str) -> None:
        """Sign for the name ``reference``."""
        self._pairs = pairs
        self._reference = reference

    def sign(self, digest: str, *, top: bool) -> None:
        """Sign a manifest and keep the signatures (raises as ``Deposit.put``)."""
        from rootless_pod.image.trust.payload import Claim

        for signer, deposit in self._pairs:
            deposit.put(signer, Claim(digest=digest, reference=self._reference), top=top)


def open_signing(signing: Signing, end: Source, place: ImageDestination) -> ImageSigner:
    """Return what signs a manifest for ``place``; the passphrase of a key without a file is asked for now.

    Raises:
        Refused, Usage: the place can't hold signatures, or a key is of no use.
        NotFound, HostUnready: there is no such key, or nothing that signs with it.
    """
    deposit_for = _place_of(end, place)
    reference = _identity(signing, end, place)
    pairs = [(signer, deposit_for(signer)) for signer in open_signers(signing)]
    return ImageSigner(pairs, reference)


def _place_of(end: Source, place: ImageDestination) -> Callable[[Signer], Deposit]:
    """Return what gives the place for a signer's signatures (raises Refused)."""
    from rootless_pod.image.formats.writers import DirectoryDestination
    from rootless_pod.image.registry.destination import RegistryDestination
    from rootless_pod.image.trust.deposit import DirectoryDeposit

    if isinstance(place, RegistryDestination):
        return lambda signer: _registry_deposit(place, signer)
    if isinstance(place, DirectoryDestination):
        return lambda _signer: DirectoryDeposit(place)
    raise Refused(_CANNOT[end.transport], remedy="push to a registry to sign, or copy to dir: with --sign-identity")


def _registry_deposit(place: RegistryDestination, signer: Signer) -> Deposit:
    from rootless_pod.image.trust.deposit import AttachedDeposit, LookasideDeposit, store_directory
    from rootless_pod.image.trust.registriesd import read_registries_d
    from rootless_pod.image.trust.scope import registry_scopes

    there = place.endpoint or parse_reference(place.shown)
    configured, scopes = read_registries_d(), registry_scopes(there)
    if signer.simple:
        return LookasideDeposit(store_directory(configured.staging(scopes)), there.repository)
    if not configured.attachments(scopes):
        raise Refused(
            "writing sigstore attachments is disabled by configuration",
            remedy=f"put use-sigstore-attachments: true for {there.name} into registries.d",
        )
    return AttachedDeposit(place.uploader, there.name)


def _identity(signing: Signing, end: Source, place: ImageDestination) -> str:
    if signing.identity:
        return str(parse_reference(signing.identity))
    if end.transport == "docker":
        return place.shown
    raise Refused(
        f"Cannot determine canonical Docker reference for destination {end.transport}:{end.rest}",
        remedy="say which name to sign for: rpod copy --sign-identity REGISTRY/NAME:TAG, or push to a registry",
    )


def open_signers(signing: Signing) -> list[Signer]:
    """Open the keys.

    Raises:
        Usage: one passphrase for two keys, or nobody to ask for one.
        NotFound, Refused, HostUnready: a key can't be used.
    """
    from rootless_pod.image.trust.signer import OpenPgpSigner, SigstoreSigner

    signing = _with_params(signing)
    if signing.gpg_key and signing.sigstore_key and signing.passphrase_file:
        raise Usage(
            "only one of --sign-by and sign-by-sigstore-private-key can be used with --sign-passphrase-file",
            remedy="push once with each",
        )
    passphrase = _first_line(signing.passphrase_file) if signing.passphrase_file else None
    signers: list[Signer] = []
    if signing.gpg_key:
        signers.append(OpenPgpSigner(signing.gpg_key, passphrase))
    if signing.sigstore_key:
        from rootless_pod.image.trust.privatekey import read_box, read_private_key

        read_box(signing.sigstore_key)
        if passphrase is None:
            passphrase = _ask(signing.sigstore_key)
        signers.append(SigstoreSigner(read_private_key(signing.sigstore_key, passphrase)))
    return signers


def _with_params(signing: Signing) -> Signing:
    if not signing.params:
        return signing
    from rootless_pod.image.trust.params import read_params

    if signing.sigstore_key:
        raise Usage(
            "--sign-by-sigstore and --sign-by-sigstore-private-key both name a sigstore key", remedy="give one of them"
        )
    params = read_params(signing.params)
    if signing.passphrase_file and params.passphrase_file:
        raise Usage(
            f"{signing.params} names a passphrase file, and so does --sign-passphrase-file", remedy="give one of them"
        )
    return signing.replace(
        sigstore_key=params.key_file, passphrase_file=signing.passphrase_file or params.passphrase_file
    )


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return file.readline(1 << 16).removesuffix("\n")
    except OSError as cause:
        raise Usage(f"cannot read {path}: {cause.strerror}", remedy="give another --sign-passphrase-file") from cause


def _ask(path: str) -> str:
    import os

    if not os.isatty(0):
        raise Usage(
            f"cannot prompt for a passphrase for key {path}: standard input is not a TTY",
            remedy="give a file that holds it with --sign-passphrase-file",
        )
    from getpass import getpass

    return getpass(f"Passphrase for key {path}: ")
