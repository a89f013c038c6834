"""Rekor's promise that a signature was in its log at a time, checked offline with the log's public key.

Source: sigstore/rekor, "signed entry timestamp"; the annotation ``dev.sigstore.cosign/bundle`` of cosign.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec

from rootless_pod.image.trust.publickey import verifies
from rootless_pod.image.trust.strictjson import Malformed, as_object, check_fields, parse_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rootless_pod.image.trust.publickey import PublicKey

_WHAT = "the Rekor bundle"


def check_entry(
    bundle: str, *, log_keys: Sequence[PublicKey], signer_der: bytes, signature: bytes, payload: bytes
) -> datetime:
    """Return when the log took in this signature of this payload by this key or certificate (DER).

    Raises:
        Malformed: the log did not sign the bundle, or the bundle is about something else.
    """
    found = parse_object(bundle.encode(), _WHAT)
    check_fields(found, _WHAT, required={"SignedEntryTimestamp": str, "Payload": dict})
    entry = found["Payload"]
    check_fields(
        entry, f"{_WHAT}.Payload", required={"body": str, "integratedTime": int, "logIndex": int, "logID": str}
    )
    # RFC 8785 for strings and whole numbers: sorted names, no blanks, nothing escaped that need not be.
    canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    promise = _base64(found["SignedEntryTimestamp"], "SignedEntryTimestamp")
    if not any(isinstance(key, ec.EllipticCurvePublicKey) and verifies(key, promise, canonical) for key in log_keys):
        raise Malformed("the log entry is not signed by the Rekor key of the policy")
    _check_record(_base64(entry["body"], "body"), signer_der=signer_der, signature=signature, payload=payload)
    try:
        return datetime.fromtimestamp(entry["integratedTime"], UTC)
    except (ValueError, OverflowError, OSError) as cause:
        raise Malformed(f"{_WHAT}: integratedTime is no time") from cause


def _check_record(body: bytes, *, signer_der: bytes, signature: bytes, payload: bytes) -> None:
    """Hold a ``hashedrekord`` 0.0.1 against what it should be about."""
    record = parse_object(body, "the log entry")
    if record.get("kind") != "hashedrekord" or record.get("apiVersion") != "0.0.1":
        raise Malformed(f"the log entry is a {record.get('kind')!r} {record.get('apiVersion')!r}: not supported")
    spec = _child(record, "spec")
    signed, hashed = _child(spec, "signature"), _child(_child(spec, "data"), "hash")
    if _pem(_base64(_text(_child(signed, "publicKey"), "content"), "publicKey")) != signer_der:
        raise Malformed("the log entry is about another key or certificate")
    if _base64(_text(signed, "content"), "signature") != signature:
        raise Malformed("the log entry is about another signature")
    if hashed.get("algorithm") != "sha256" or _text(hashed, "value").lower() != hashlib.sha256(payload).hexdigest():
        raise Malformed("the log entry is about another payload")


def _child(found: dict[str, Any], name: str) -> dict[str, Any]:
    return as_object(found.get(name), f"the log entry: {name}")


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str):
        raise Malformed(f"the log entry: {name} is not a string")
    return value


def _base64(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as cause:
        raise Malformed(f"{_WHAT}: {what} is not base64") from cause


def _pem(data: bytes) -> bytes:
    """Return the bytes inside one PEM block, whatever it calls itself."""
    lines = data.decode("ascii", errors="replace").strip().splitlines()
    if len(lines) < 3 or not lines[0].startswith("-----BEGIN ") or not lines[-1].startswith("-----END "):
        raise Malformed("the log entry: publicKey is not PEM")
    return _base64("".join(line.strip() for line in lines[1:-1]), "publicKey")
