"""OpenPGP messages checked against a keyring, as gpg would judge them today: by way of Sequoia.

Sequoia accepts what a key signed before it expired; gpg, and with it podman, does not: an expired key can be in any
hands, and a signature's date is the signer's own word. So keys must be good now.
"""

from __future__ import annotations

from datetime import UTC, datetime

from rootless_pod.errors import HostUnready, Refused
from rootless_pod.frozen import Frozen
from rootless_pod.image.trust.strictjson import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.image.trust.requirement import KeySource


class Opened(Frozen):
    """The signed bytes, and the fingerprint (upper case) of the primary key whose owner signed them."""

    payload: bytes
    fingerprint: str


class KeyState(Frozen):
    """A certificate or a key in it: until when it is good, and whether its owner took it back."""

    expires_at: datetime | None = None
    revoked: bool = False


def _sequoia() -> Any:
    try:
        import pysequoia
        from pysequoia import packet
    except ImportError as cause:
        from rootless_pod.programs.package import how_to_install

        raise HostUnready(
            "the Python package pysequoia is not installed: OpenPGP signatures can't be checked",
            remedy=how_to_install("pysequoia"),
        ) from cause
    assert packet
    return pysequoia


class Keyring:
    """The certificates a requirement names."""

    def __init__(self, certificates: tuple[Any, ...]) -> None:
        """Keep Sequoia's certificates."""
        self.certificates = certificates

    @classmethod
    def read(cls, source: KeySource) -> Keyring:
        """Read every key of ``source`` (binary or armored).

        Raises:
            Refused: a file is missing, or holds no OpenPGP key.
            HostUnready: pysequoia is not installed.
        """
        sequoia = _sequoia()
        found: list[Any] = []
        for shown, data in source.read():
            try:
                own = sequoia.Cert.split_bytes(data)
            except RuntimeError as cause:
                raise _no_key(shown) from cause
            if not own:
                raise _no_key(shown)
            found += own
        return cls(tuple(found))

    def user_ids(self) -> tuple[str, ...]:
        """Return the mail addresses (or names) of the keys' owners."""
        shown = []
        for certificate in self.certificates:
            for user_id in certificate.user_ids:
                text = str(user_id)
                shown.append(text.rpartition("<")[2].rstrip("> ") if "<" in text else text)
        return tuple(shown)

    def open(self, message: bytes) -> Opened:
        """Return what a signed message says, if exactly one key of the ring signed it and is good.

        Raises:
            Malformed: anything else; the text is the reason.
        """
        signature = _only_signature(message)
        issuer = signature.issuer_fingerprint or signature.issuer_key_id or ""
        if not any(self._states(certificate, issuer) for certificate in self.certificates):
            raise Malformed(f"it was made by the key {issuer.upper() or 'of nobody'}, which the policy does not list")
        expires_at = signature.signature_expiration_time
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise Malformed(f"it expired on {expires_at:%Y-%m-%d %H:%M} UTC")
        self._check_good(issuer)
        try:
            opened = _sequoia().verify(bytes=message, store=lambda _wanted: list(self.certificates))
        except RuntimeError as cause:
            raise Malformed(f"it does not fit the key {issuer.upper()}: damaged or forged") from cause
        if opened.bytes is None or len(opened.valid_sigs) != 1:
            raise Malformed("it is not signed by exactly one key")
        (valid,) = opened.valid_sigs
        self._check_good(str(valid.signing_key))
        return Opened(payload=bytes(opened.bytes), fingerprint=str(valid.certificate).upper())

    def _check_good(self, issuer: str) -> None:
        """Refuse a key that is expired or revoked today.

        Raises:
            Malformed: every certificate that has it is.
        """
        reasons = []
        for certificate in self.certificates:
            for state in self._states(certificate, issuer):
                if state.revoked:
                    reasons.append(f"its key {issuer.upper()} was revoked")
                elif state.expires_at is not None and state.expires_at <= datetime.now(UTC):
                    reasons.append(f"its key {issuer.upper()} expired on {state.expires_at:%Y-%m-%d %H:%M} UTC")
        if reasons:
            raise Malformed(reasons[0])

    def _states(self, certificate: Any, issuer: str) -> tuple[KeyState, ...]:
        """Return the states of the certificate and of its key ``issuer``; nothing if it does not have that key."""
        keys = _keys(certificate)
        own = [state for name, state in keys.items() if issuer and name.endswith(issuer.lower())]
        return (KeyState(expires_at=certificate.expiration, revoked=certificate.is_revoked), *own) if own else ()


def _no_key(shown: str) -> Refused:
    return Refused(f"{shown} holds no OpenPGP public key", remedy=f"export it anew: gpg --export NAME > {shown}")


def _only_signature(message: bytes) -> Any:
    """Return the one signature packet of a signed message.

    Raises:
        Malformed: it is no signed message, or has several signatures.
    """
    _sequoia()
    from pysequoia.packet import PacketPile, Tag

    try:
        packets = [(one.tag, one) for one in PacketPile.from_bytes(message)]
    except RuntimeError as cause:  # also a packet of a kind that nobody has defined
        raise Malformed("it is no OpenPGP message") from cause
    signatures = [one for tag, one in packets if tag == Tag.Signature]
    literals = [one for tag, one in packets if tag == Tag.Literal]
    if len(signatures) != 1 or len(literals) != 1:
        raise Malformed(f"it is no OpenPGP message with one signature (it has {len(signatures)})")
    return signatures[0]


def _keys(certificate: Any) -> dict[str, KeyState]:
    """Return the primary key and the subkeys by fingerprint, each with what its latest binding says."""
    from pysequoia.packet import PacketPile, SignatureType, Tag

    found: dict[str, KeyState] = {}
    name, created, bound_at = "", None, None
    for one in PacketPile.from_bytes(bytes(certificate)):
        try:
            tag = one.tag
        except RuntimeError:
            continue  # of a kind that nobody has defined: it says nothing about a key
        if tag in (Tag.PublicKey, Tag.PublicSubkey, Tag.SecretKey, Tag.SecretSubkey):
            name, created, bound_at = str(one.fingerprint).lower(), one.key_created, None
            found[name] = KeyState()
        elif tag == Tag.Signature and one.signature_type == SignatureType.SubkeyRevocation:
            found[name] = found[name].replace(revoked=True)
        elif tag == Tag.Signature and one.signature_type == SignatureType.SubkeyBinding:
            made_at = one.signature_created
            if bound_at is None or (made_at is not None and made_at >= bound_at):
                bound_at = made_at
                period = one.key_validity_period
                found[name] = found[name].replace(expires_at=created + period if created and period else None)
    return found
