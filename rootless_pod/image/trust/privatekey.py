"""Private keys of sigstore signatures as cosign and skopeo make them, kept under a passphrase.

The file is PEM around JSON: scrypt makes a key of the passphrase, NaCl's secretbox holds a PKCS #8 key under it.
Source: secure-systems-lab/go-securesystemslib, ``encrypted``; sigstore/cosign, pkg/cosign ``LoadPrivateKey``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key

from rootless_pod.errors import Corrupt, HostUnready, Refused
from rootless_pod.image.trust.strictjson import Malformed, check_fields, parse_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

KINDS = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
_MAKE_ONE = "make one with: skopeo generate-sigstore-key, or cosign generate-key-pair"
# Today's writers take N = 2^15 or 2^16 with r = 8, 32 or 64 MiB: far more is no key but a way to fill the memory.
_MOST_MEMORY = 1 << 30
# What scrypt itself may take: the memory above and a little for its blocks; OpenSSL knows no more than 31 bits.
_MOST_ALLOWED = (1 << 31) - 1
_NONCE_BYTES = 24


def read_private_key(path: str, passphrase: str) -> PrivateKey:
    """Read the key of a file.

    Raises:
        Refused: it can't be read, is no such key, or the passphrase is another one.
        Corrupt: it is damaged.
        HostUnready: PyNaCl is not installed.
    """
    data = _opened(path, read_box(path), passphrase)
    try:
        key = load_der_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
        raise Corrupt(f"{path} holds no PKCS #8 key under its passphrase", remedy=_MAKE_ONE) from cause
    if isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)):
        return key
    raise Refused(f"{path} holds a kind of key that signs no images (ECDSA, RSA and Ed25519 do)", remedy=_MAKE_ONE)


def read_box(path: str) -> bytes:
    """Return what stands in the file between its PEM lines: JSON.

    Raises:
        Refused: it can't be read, or has no private key of this kind.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(1 << 20).decode("ascii", errors="replace")
    except OSError as cause:
        raise Refused(
            f"cannot read the private key {path}: {cause.strerror}", remedy=f"make {path} readable"
        ) from cause
    for kind in KINDS:
        _before, begun, rest = text.partition(f"-----BEGIN {kind}-----")
        inside, ended, _after = rest.partition(f"-----END {kind}-----")
        if begun and ended:
            try:
                return base64.b64decode("".join(inside.split()), validate=True)
            except binascii.Error as cause:
                raise Refused(f"{path} is a damaged private key: its text is not base64", remedy=_MAKE_ONE) from cause
    raise Refused(f"{path} is no private key of sigstore ({KINDS[0]})", remedy=_MAKE_ONE)


def _opened(path: str, box: bytes, passphrase: str) -> bytes:
    try:
        salt, n, r, p, nonce, sealed = _parsed(box)
    except (Malformed, ValueError) as cause:
        raise Corrupt(f"{path} is a damaged private key: {cause}", remedy=_MAKE_ONE) from cause
    try:
        from nacl.exceptions import CryptoError
        from nacl.secret import SecretBox
    except ImportError as cause:
        from rootless_pod.programs.package import how_to_install

        raise HostUnready(
            "the Python package PyNaCl is not installed: sigstore's private keys can't be opened",
            remedy=how_to_install("PyNaCl"),
        ) from cause
    secret = hashlib.scrypt(passphrase.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MOST_ALLOWED, dklen=32)
    try:
        return bytes(SecretBox(secret).decrypt(sealed, nonce))
    except CryptoError as cause:
        raise Refused(
            f"the passphrase does not open the private key {path}", remedy="give its own with --sign-passphrase-file"
        ) from cause


def _parsed(box: bytes) -> tuple[bytes, int, int, int, bytes, bytes]:
    found = parse_object(box, "its content")
    check_fields(found, "its content", required={"kdf": dict, "cipher": dict, "ciphertext": str})
    kdf, cipher = found["kdf"], found["cipher"]
    check_fields(kdf, "kdf", required={"name": str, "params": dict, "salt": str})
    check_fields(cipher, "cipher", required={"name": str, "nonce": str})
    check_fields(kdf["params"], "kdf.params", required={"N": int, "r": int, "p": int})
    if (kdf["name"], cipher["name"]) != ("scrypt", "nacl/secretbox"):
        raise Malformed(f"it is locked with {kdf['name']} and {cipher['name']}, not with scrypt and nacl/secretbox")
    n, r, p = (kdf["params"][name] for name in ("N", "r", "p"))
    if n < 2 or n & (n - 1) or not 1 <= r <= 64 or not 1 <= p <= 64 or 128 * n * r > _MOST_MEMORY:
        raise Malformed(f"scrypt's N = {n}, r = {r}, p = {p} are no sound choice")
    nonce = base64.b64decode(cipher["nonce"], validate=True)
    if len(nonce) != _NONCE_BYTES:
        raise Malformed(f"cipher.nonce has {len(nonce)} bytes, not {_NONCE_BYTES}")
    salt, sealed = (base64.b64decode(text, validate=True) for text in (kdf["salt"], found["ciphertext"]))
    return salt, n, r, p, nonce, sealed


def sign(key: PrivateKey, data: bytes) -> bytes:
    """Return a signature over ``data`` that ``publickey.verifies`` accepts."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(SHA256()))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), SHA256())
    return key.sign(data)
