"""Sigstore signatures as cosign and podman make them: by a key, by Fulcio's certificates, by one's own authority."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime

from cryptography.hazmat.primitives.serialization import Encoding

from rootless_pod.errors import Refused
from rootless_pod.frozen import Frozen
from rootless_pod.image.trust.certificates import (
    check_path,
    emails,
    host_names,
    load_certificates,
    oidc_issuer,
)
from rootless_pod.image.trust.payload import COSIGN, Claim, parse_claim
from rootless_pod.image.trust.publickey import der, fingerprint, read_keys, supported, verifies
from rootless_pod.image.trust.rekor import check_entry
from rootless_pod.image.trust.signature import BUNDLE, CERTIFICATE, CHAIN, PAYLOAD_TYPE, SIGNATURE
from rootless_pod.image.trust.strictjson import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from rootless_pod.image.trust.publickey import PublicKey
    from rootless_pod.image.trust.requirement import Fulcio, KeySource, Pki, SigstoreSigned
    from rootless_pod.image.trust.signature import Signature


class Vouched(Frozen):
    """A good signature: its claim, and who made it in words."""

    claim: Claim
    signer: str


class SigstoreVerifier:
    """One ``sigstoreSigned`` requirement, its keys read."""

    def __init__(self, requirement: SigstoreSigned) -> None:
        """Read the keys and authorities.

        Raises:
            Refused: one is missing or of no use.
        """
        self._requirement = requirement
        self._log_keys = read_keys(requirement.rekor) if requirement.rekor is not None else ()
        self._keys = read_keys(requirement.keys) if requirement.keys is not None else ()
        self._roots: list[Certificate] = []
        self._intermediates: list[Certificate] = []
        if requirement.fulcio is not None:
            self._roots = _authorities(requirement.fulcio.authority)
        elif requirement.pki is not None:
            self._roots = _authorities(requirement.pki.roots)
            self._intermediates = _authorities(requirement.pki.intermediates)

    def open(self, signature: Signature) -> Vouched:
        """Return the claim of a signature that the requirement's signer made.

        Raises:
            Malformed: it did not; the text is the reason.
        """
        if signature.media_type != PAYLOAD_TYPE:
            raise Malformed(f"its payload has the media type {signature.media_type!r}, not {PAYLOAD_TYPE!r}")
        text = signature.annotations.get(SIGNATURE)
        if text is None:
            raise Malformed(f"the annotation {SIGNATURE} is missing")
        try:
            proof = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as cause:
            raise Malformed(f"the annotation {SIGNATURE} is not base64") from cause
        if self._requirement.fulcio is not None:
            signer, key = self._by_fulcio(self._requirement.fulcio, signature, proof)
        elif self._requirement.pki is not None:
            signer, key = self._by_pki(self._requirement.pki, signature)
        else:
            signer, key = self._by_key(signature, proof)
        if not verifies(key, proof, signature.data):
            raise Malformed("it does not fit its certificate's key: damaged or forged")
        return Vouched(claim=parse_claim(signature.data, COSIGN), signer=signer)

    def _by_key(self, signature: Signature, proof: bytes) -> tuple[str, PublicKey]:
        key = next((one for one in self._keys if verifies(one, proof, signature.data)), None)
        if key is None:
            listed = ", ".join(fingerprint(one)[:23] + "…" for one in self._keys)
            raise Malformed(f"it was not made with a key of the policy ({listed}), or its payload was changed")
        if self._log_keys:
            self._logged(signature, proof, der(key))
        return fingerprint(key), key

    def _logged(self, signature: Signature, proof: bytes, signer_der: bytes) -> datetime:
        bundle = signature.annotations.get(BUNDLE)
        if bundle is None:
            raise Malformed(f"the annotation {BUNDLE} is missing, so no log says when it was made")
        return check_entry(
            bundle, log_keys=self._log_keys, signer_der=signer_der, signature=proof, payload=signature.data
        )

    def _by_fulcio(self, wanted: Fulcio, signature: Signature, proof: bytes) -> tuple[str, PublicKey]:
        leaf, chain = _chain(signature)
        at = self._logged(signature, proof, leaf.public_bytes(Encoding.DER))
        # The last of a chain is its root: only those of the policy count.
        check_path(leaf, roots=self._roots, intermediates=chain[:-1], at=at, code_signing=True)
        issuer, addresses = oidc_issuer(leaf), emails(leaf)
        if issuer != wanted.oidc_issuer:
            raise Malformed(f"its signer was vouched for by {issuer}, the policy wants {wanted.oidc_issuer}")
        if wanted.subject_email not in addresses:
            raise Malformed(f"its signer is {', '.join(addresses) or 'nobody'}, not {wanted.subject_email}")
        return f"{wanted.subject_email} ({issuer})", supported(leaf.public_key(), "its certificate's key")

    def _by_pki(self, wanted: Pki, signature: Signature) -> tuple[str, PublicKey]:
        leaf, chain = _chain(signature)
        intermediates = [*self._intermediates, *chain]
        check_path(leaf, roots=self._roots, intermediates=intermediates, at=datetime.now(UTC), code_signing=False)
        for subject, found in ((wanted.subject_email, emails(leaf)), (wanted.subject_hostname, host_names(leaf))):
            if subject and subject not in found:
                raise Malformed(f"its signer is {', '.join(found) or 'nobody'}, not {subject}")
        shown = " ".join(one for one in (wanted.subject_email, wanted.subject_hostname) if one)
        return shown, supported(leaf.public_key(), "its certificate's key")


def _chain(signature: Signature) -> tuple[Certificate, list[Certificate]]:
    """Return the signer's certificate and what came with it."""
    given = signature.annotations.get(CERTIFICATE)
    if given is None:
        raise Malformed(f"the annotation {CERTIFICATE} is missing")
    leaves = load_certificates(given.encode(), "its certificate")
    if len(leaves) != 1:
        raise Malformed(f"it has {len(leaves)} certificates where one belongs")
    chain = signature.annotations.get(CHAIN, "")
    return leaves[0], load_certificates(chain.encode(), "its certificate chain") if chain.strip() else []


def _authorities(source: KeySource) -> list[Certificate]:
    found = []
    for shown, data in source.read():
        try:
            found += load_certificates(data, shown)
        except Malformed as cause:
            raise Refused(str(cause), remedy=f"put PEM certificates into {shown}") from cause
    return found
