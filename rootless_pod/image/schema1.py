"""Docker's first kind of manifest, signed: for registries and clients that know nothing newer.

Such a manifest has no config: the history of the image is told in it, layer by layer, and the newest entry carries
the config. Who signs does not matter (no reader asks), so a key is made for each manifest and forgotten.
Source: distribution, docs/spec/manifest-v2-1.md; docker/libtrust, ``jsonsign.go`` and ``util.go``; what podman 4.3.1
and docker-registry 2.8 write and take.
"""

from __future__ import annotations

import base64
import hashlib
import time

from rootless_pod import jsontext
from rootless_pod.errors import Corrupt, Refused
from rootless_pod.frozen import Frozen
from rootless_pod.oci.descriptor import Descriptor
from rootless_pod.oci.digest import of_bytes
from rootless_pod.oci.mediatype import DOCKER_LAYER_GZIP, is_foreign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.oci.manifest import Manifest

# What stands for "this step changed no file": an empty tar, packed by Go's gzip; every registry knows its digest.
EMPTY_LAYER = bytes.fromhex("1f8b080000096e8800ff621805a360148c5800080000ffff2eafb5ef00040000")
EMPTY = Descriptor(media_type=DOCKER_LAYER_GZIP, digest=of_bytes(EMPTY_LAYER), size=len(EMPTY_LAYER))


class Schema1(Frozen):
    """The signed text, the digest of what is signed (which is the manifest's), and whether it needs ``EMPTY``."""

    data: bytes
    digest: str
    needs_empty: bool


def write_schema1(manifest: Manifest, config: bytes, *, name: str, tag: str, shown: str) -> Schema1:
    """Return the image as a signed schema 1 manifest for ``name`` and ``tag`` ("": for a place without names).

    Raises:
        Refused: a layer has no place in one.
        Corrupt: the config is damaged.
    """
    if any(is_foreign(layer.media_type) for layer in manifest.layers):
        raise Refused(
            f"{shown}: a layer that is fetched from elsewhere has no place in Docker schema 1",
            remedy="give --format v2s2",
        )
    try:
        parsed = jsontext.loads(config.decode())
        steps = _steps(parsed, len(manifest.layers))
    except (ValueError, TypeError, AttributeError) as cause:
        raise Corrupt(f"{shown}: the config is not that of an image: {cause}") from cause
    layers, history, parent = [], [], ""
    left = iter(manifest.layers)
    for number, step in enumerate(steps, 1):
        empty = bool(step.get("empty_layer"))
        digest = EMPTY.digest if empty else next(left).digest
        layers.append({"blobSum": digest})
        if number == len(steps):
            entry = _newest(parsed, digest, parent, empty=empty)
        else:
            entry = _older(step, digest, parent, empty=empty)
        parent = entry["id"]
        history.append({"v1Compatibility": jsontext.dumps(entry)})
    payload = {
        "name": name,
        "tag": tag,
        "architecture": parsed.get("architecture", ""),
        "fsLayers": layers[::-1],
        "history": history[::-1],
        "schemaVersion": 1,
    }
    text = jsontext.dumps(payload).encode()
    return Schema1(data=sign(text), digest=of_bytes(text), needs_empty={"blobSum": EMPTY.digest} in layers)


def _steps(config: dict[str, Any], layers: int) -> list[dict[str, Any]]:
    """Return the history, oldest first; one that does not fit the layers is replaced by their mere number."""
    steps = [dict(step) for step in config.get("history") or ()]
    if steps and sum(not step.get("empty_layer") for step in steps) == layers:
        return steps
    return [{} for _ in range(layers)] or [{"empty_layer": True}]


def _newest(config: dict[str, Any], digest: str, parent: str, *, empty: bool) -> dict[str, Any]:
    """Return the entry that carries the config."""
    kept = {key: value for key, value in config.items() if key not in ("rootfs", "history")}
    entry = {**kept, "id": _id(digest, parent, jsontext.dumps(config))}
    if parent:
        entry["parent"] = parent
    if empty:
        entry["throwaway"] = True
    return dict(sorted(entry.items()))


def _older(step: dict[str, Any], digest: str, parent: str, *, empty: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": _id(digest, parent)}
    if parent:
        entry["parent"] = parent
    entry |= {key: step[key] for key in ("comment", "created") if step.get(key)}
    entry["container_config"] = {"Cmd": [step.get("created_by", "")]}
    if step.get("author"):
        entry["author"] = step["author"]
    if empty:
        entry["throwaway"] = True
    return entry


def _id(digest: str, *parts: str) -> str:
    """Return what this image of old is called: any name does that is one's own and the same each time."""
    return hashlib.sha256(" ".join((digest.partition(":")[2], *parts)).encode()).hexdigest()


def sign(payload: bytes) -> bytes:
    """Return a JSON object with a JSON web signature of itself put in as its last member."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    key = ec.generate_private_key(ec.SECP256R1())
    body, tail = payload[:-1], payload[-1:]
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    protected = _base64(
        jsontext.dumps({"formatLength": len(body), "formatTail": _base64(tail), "time": moment}).encode()
    )
    r, s = decode_dss_signature(key.sign(f"{protected}.{_base64(payload)}".encode(), ec.ECDSA(SHA256())))
    numbers = key.public_key().public_numbers()
    jwk = {
        "crv": "P-256",
        "kid": key_id(key.public_key()),
        "kty": "EC",
        "x": _base64(numbers.x.to_bytes(32)),
        "y": _base64(numbers.y.to_bytes(32)),
    }
    signature = {
        "header": {"jwk": jwk, "alg": "ES256"},
        "signature": _base64(r.to_bytes(32) + s.to_bytes(32)),
        "protected": protected,
    }
    return b"".join((body, b',"signatures":[', jsontext.dumps(signature).encode(), b"]", tail))


def key_id(key: Any) -> str:
    """Return libtrust's name of a key: 240 bits of its digest in groups of four."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()
    return ":".join(text[start : start + 4] for start in range(0, len(text), 4))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
