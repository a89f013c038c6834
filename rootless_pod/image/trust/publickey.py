"""Public keys of sigstore signatures: ECDSA, RSA (PKCS #1 v1.5) and Ed25519, with SHA-256 where a hash is chosen.

Source: sigstore/sigstore, pkg/signature ``LoadVerifier``, which cosign and podman use.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from rootless_pod.errors import Refused
from rootless_pod.image.trust.strictjson import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from rootless_pod.image.trust.requirement import KeySource

    PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


def supported(key: object, shown: str) -> PublicKey:
    """Return ``key`` if its kind is known.

    Raises:
        Malformed: it is not.
    """
    if isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey, ed25519.Ed25519PublicKey)):
        return key
    raise Malformed(f"{shown} is a kind of public key that is not supported (ECDSA, RSA and Ed25519 are)")


def read_keys(source: KeySource) -> tuple[PublicKey, ...]:
    """Read PEM public keys, one a file.

    Raises:
        Refused: one is missing or no public key.
    """
    found = []
    for shown, data in source.read():
        try:
            found.append(supported(load_pem_public_key(data), shown))
        except (ValueError, UnsupportedAlgorithm) as cause:
            raise Refused(
                f"{shown} is no PEM public key that can be used",
                remedy="put the public half there, as from: cosign public-key --key cosign.key",
            ) from cause
    return tuple(found)


def der(key: PublicKey) -> bytes:
    """Return the key's SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: PublicKey) -> str:
    """Return ``SHA256:HEX`` of the key's SubjectPublicKeyInfo."""
    digest = Hash(SHA256())
    digest.update(der(key))
    return f"SHA256:{digest.finalize().hex()}"


def verifies(key: PublicKey, signature: bytes, data: bytes) -> bool:
    """Tell whether ``signature`` over ``data`` was made with the private half of ``key``."""
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), SHA256())
        else:
            key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
