"""Certificates of signers: the path to a trusted root, and whom they were given to. Source: RFC 5280, section 6.

The standard library checks paths for TLS servers only. Here a certificate is for signing code, and counts at the time
the signature was made.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier

from rootless_pod.image.trust.strictjson import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

# Fulcio's extensions. Source: sigstore/fulcio, docs/oid-info.md.
_ISSUER_V1 = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_V2 = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_UNDERSTOOD = (
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
)
_LONGEST_PATH = 8


def load_certificates(data: bytes, what: str) -> list[x509.Certificate]:
    """Parse PEM certificates.

    Raises:
        Malformed: there are none, or one is damaged.
    """
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as cause:
        raise Malformed(f"{what} holds no valid certificate") from cause


def check_path(
    leaf: x509.Certificate,
    *,
    roots: Sequence[x509.Certificate],
    intermediates: Sequence[x509.Certificate],
    at: datetime,
    code_signing: bool,
) -> None:
    """Find a chain of good certificates from ``leaf`` to a root, all valid ``at`` that time.

    Raises:
        Malformed: there is none.
    """
    _check_valid(leaf, at, "its certificate")
    _check_extensions(leaf, "its certificate")
    if code_signing and not _allows_code_signing(leaf, required=True):
        raise Malformed("its certificate is not for signing code")
    if not _leads_up(leaf, roots, intermediates, at, depth=0, code_signing=code_signing):
        raise Malformed("its certificate leads to no authority that the policy trusts")


def _leads_up(
    child: x509.Certificate,
    roots: Sequence[x509.Certificate],
    intermediates: Sequence[x509.Certificate],
    at: datetime,
    *,
    depth: int,
    code_signing: bool,
) -> bool:
    def issued(issuer: x509.Certificate) -> bool:
        return _issued(child, issuer, at, depth) and (not code_signing or _allows_code_signing(issuer, required=False))

    if any(issued(root) for root in roots):
        return True
    return depth < _LONGEST_PATH and any(
        _leads_up(issuer, roots, intermediates, at, depth=depth + 1, code_signing=code_signing)
        for issuer in intermediates
        if issued(issuer)
    )


def _issued(child: x509.Certificate, issuer: x509.Certificate, at: datetime, below: int) -> bool:
    """Tell whether ``issuer`` is an authority, good at that time, and signed ``child``."""
    try:
        _check_valid(issuer, at, "an authority")
        _check_extensions(issuer, "an authority")
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not constraints.ca or (constraints.path_length is not None and constraints.path_length < below):
            return False
        child.verify_directly_issued_by(issuer)
    except (Malformed, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def _check_valid(certificate: x509.Certificate, at: datetime, what: str) -> None:
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise Malformed(
            f"{what} was valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} "
            f"to {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, not at {at:%Y-%m-%d %H:%M}"
        )


def _check_extensions(certificate: x509.Certificate, what: str) -> None:
    """Refuse what limits a certificate in a way not understood here (name constraints among them)."""
    try:
        extensions = list(certificate.extensions)
    except (ValueError, x509.DuplicateExtension) as cause:
        raise Malformed(f"{what} has damaged extensions") from cause
    for one in extensions:
        if (one.critical and one.oid not in _UNDERSTOOD) or one.oid == ExtensionOID.NAME_CONSTRAINTS:
            raise Malformed(f"{what} has the extension {one.oid.dotted_string}, which is not supported")


def _allows_code_signing(certificate: x509.Certificate, *, required: bool) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return not required
    return ExtendedKeyUsageOID.CODE_SIGNING in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


def oidc_issuer(certificate: x509.Certificate) -> str:
    """Return who vouched for the signer, as Fulcio wrote it down.

    Raises:
        Malformed: it did not, or wrote two different things.
    """
    found = set()
    for one in certificate.extensions:
        value = getattr(one.value, "value", b"")
        if one.oid == _ISSUER_V1:
            found.add(value.decode(errors="replace"))
        elif one.oid == _ISSUER_V2:
            found.add(_utf8_string(value))
    if len(found) != 1:
        raise Malformed(f"its certificate names {'no' if not found else 'more than one'} OIDC issuer")
    return str(found.pop())


def _utf8_string(der: bytes) -> str:
    """Decode a DER UTF8String of less than 64 KiB."""
    if len(der) >= 2 and der[0] == 0x0C:
        # The length is in the second byte, or that says how many bytes after it hold the length.
        more = max(0, der[1] - 0x80)
        length = int.from_bytes(der[2 : 2 + more]) if more else der[1]
        if der[1] != 0x80 and more <= 2 and len(der) == 2 + more + length:
            return der[2 + more :].decode(errors="replace")
    raise Malformed("its certificate has a damaged OIDC issuer")


def emails(certificate: x509.Certificate) -> list[str]:
    """Return the mail addresses the certificate is for."""
    return _subjects(certificate, x509.RFC822Name)


def host_names(certificate: x509.Certificate) -> list[str]:
    """Return the host names the certificate is for."""
    return _subjects(certificate, x509.DNSName)


def _subjects(certificate: x509.Certificate, kind: type[x509.RFC822Name | x509.DNSName]) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(value) for value in names.get_values_for_type(kind)]
