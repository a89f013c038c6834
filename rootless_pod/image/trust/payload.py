"""The claim inside a signature: this manifest goes by this name. Source: container-signature(5), "JSON data format"."""

from __future__ import annotations

from rootless_pod import jsontext
from rootless_pod.frozen import Frozen
from rootless_pod.image.trust.strictjson import Malformed, check_fields, parse_object
from rootless_pod.oci.digest import is_digest

SIMPLE = "atomic container signature"
COSIGN = "cosign container image signature"


class Claim(Frozen):
    """What the signer says."""

    digest: str
    reference: str


def format_claim(claim: Claim, kind: str, *, creator: str, timestamp: int) -> bytes:
    """Return the bytes to sign, their fields in the order podman writes them."""
    critical = {
        "identity": {"docker-reference": claim.reference},
        "image": {"docker-manifest-digest": claim.digest},
        "type": kind,
    }
    return jsontext.dumps({"critical": critical, "optional": {"creator": creator, "timestamp": timestamp}}).encode()


def parse_claim(data: bytes, kind: str) -> Claim:
    """Parse a payload whose signature is already known to be good.

    Raises:
        Malformed: something critical is missing, unknown or of another kind.
    """
    found = parse_object(data, "the signed payload")
    if kind == COSIGN and found.get("optional", {}) is None:
        # cosign writes null where the signer gave no annotations.
        found = {**found, "optional": {}}
    check_fields(found, "the signed payload", required={"critical": dict, "optional": dict})
    critical = found["critical"]
    check_fields(critical, "critical", required={"type": str, "image": dict, "identity": dict})
    check_fields(critical["image"], "critical.image", required={"docker-manifest-digest": str})
    check_fields(critical["identity"], "critical.identity", required={"docker-reference": str})
    _check_optional(found["optional"])
    if critical["type"] != kind:
        raise Malformed(f"its payload is a {critical['type']!r}, not a {kind!r}")
    digest = critical["image"]["docker-manifest-digest"]
    if not is_digest(digest):
        raise Malformed(f"critical.image.docker-manifest-digest {digest!r} is no digest")
    return Claim(digest=digest, reference=critical["identity"]["docker-reference"])


def _check_optional(optional: dict[str, object]) -> None:
    creator, timestamp = optional.get("creator", ""), optional.get("timestamp", 0)
    if not isinstance(creator, str):
        raise Malformed("optional: field 'creator' is not a string")
    whole = isinstance(timestamp, int) or (isinstance(timestamp, float) and timestamp.is_integer())
    if not whole or isinstance(timestamp, bool):
        raise Malformed("optional: field 'timestamp' is not a whole number")


def check_digest(claim: Claim, digest: str) -> None:
    """Hold the claim against the image's manifest.

    Raises:
        Malformed: it is about another manifest.
    """
    if claim.digest != digest:
        raise Malformed(f"it is about the manifest {claim.digest}, this one is {digest}")
