"""Who signs: an OpenPGP key that gpg keeps, or a sigstore private key in a file. The mirror of what checks."""

from __future__ import annotations

import base64
import time
from abc import ABC, abstractmethod

from rootless_pod.image.trust.payload import COSIGN, SIMPLE, Claim, format_claim, parse_claim
from rootless_pod.image.trust.signature import PAYLOAD_TYPE, SIGNATURE, Signature
from rootless_pod.image.trust.strictjson import Malformed
from rootless_pod.programs import gpg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.image.trust.privatekey import PrivateKey

_CREATOR = "rootless_pod"


class Signer(ABC):
    """One key, ready to sign. ``simple``: the kind of signature it makes."""

    simple = True

    @abstractmethod
    def sign(self, claim: Claim) -> Signature:
        """Return a signature of today over a claim (raises ProgramFailed)."""

    @abstractmethod
    def claim_of(self, signature: Signature) -> Claim | None:
        """Return what a signature claims if this key made it, else nothing."""


class OpenPgpSigner(Signer):
    """A secret key in the user's GnuPG."""

    def __init__(self, key: str, passphrase: str | None) -> None:
        """Find the key that ``key`` means; without a passphrase gpg's agent asks for it (raises as ``gpg`` does)."""
        self._fingerprint = gpg.find_secret_key(key)
        self._passphrase = passphrase
        if passphrase is not None:
            # A wrong one is told now, not after gigabytes were sent.
            gpg.sign(b"", self._fingerprint, passphrase)

    def sign(self, claim: Claim) -> Signature:
        """Have gpg sign."""
        payload = format_claim(claim, SIMPLE, creator=_CREATOR, timestamp=int(time.time()))
        return Signature(place="", data=gpg.sign(payload, self._fingerprint, self._passphrase))

    def claim_of(self, signature: Signature) -> Claim | None:
        """Ask gpg who signed."""
        opened = gpg.open_signed(signature.data) if signature.simple else None
        if opened is None or opened.fingerprint != self._fingerprint:
            return None
        return _claim(opened.payload, SIMPLE)


class SigstoreSigner(Signer):
    """A private key as cosign and skopeo make them."""

    simple = False

    def __init__(self, key: PrivateKey) -> None:
        """Sign with ``key``."""
        self._key = key

    def sign(self, claim: Claim) -> Signature:
        """Sign with the key."""
        from rootless_pod.image.trust.privatekey import sign

        payload = format_claim(claim, COSIGN, creator=_CREATOR, timestamp=int(time.time()))
        proof = base64.b64encode(sign(self._key, payload)).decode()
        return Signature(place="", data=payload, simple=False, media_type=PAYLOAD_TYPE, annotations={SIGNATURE: proof})

    def claim_of(self, signature: Signature) -> Claim | None:
        """Hold the signature against the key's public half."""
        from rootless_pod.image.trust.publickey import verifies

        if signature.simple or signature.media_type != PAYLOAD_TYPE:
            return None
        try:
            proof = base64.b64decode(signature.annotations.get(SIGNATURE, ""), validate=True)
        except ValueError:
            return None
        # A signature with a certificate or a log's proof says more than we would write in its place.
        plain = set(signature.annotations) == {SIGNATURE}
        if not plain or not verifies(self._key.public_key(), proof, signature.data):
            return None
        return _claim(signature.data, COSIGN)


def _claim(payload: bytes, kind: str) -> Claim | None:
    try:
        return parse_claim(payload, kind)
    except Malformed:
        return None
