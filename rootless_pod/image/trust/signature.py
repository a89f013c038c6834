"""Signatures as they are found beside an image, whatever their kind and place."""

from __future__ import annotations

from rootless_pod import jsontext
from rootless_pod.frozen import Frozen
from rootless_pod.image.trust.strictjson import Malformed, check_fields, parse_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class SignatureSource(Protocol):
        """Where an image's signatures are; asked only when the policy wants one."""

        def simple(self, digest: str) -> tuple[Signature, ...]:
            """Return the simple signatures of the manifest ``digest``."""

        def sigstore(self, digest: str) -> tuple[Signature, ...]:
            """Return the sigstore signatures of the manifest ``digest``."""

        def places(self) -> str:
            """Say in words where was looked."""


PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
BUNDLE = "dev.sigstore.cosign/bundle"
CERTIFICATE = "dev.sigstore.cosign/certificate"
CHAIN = "dev.sigstore.cosign/chain"
MAX_SIGNATURES = 128
MAX_SIGNATURE_BYTES = 4 << 20


class Signature(Frozen):
    """One signature: an OpenPGP message (``simple``), or a payload whose signature is in ``annotations``."""

    place: str
    data: bytes
    simple: bool = True
    media_type: str = ""
    annotations: dict[str, str] = {}


class NoSignatures:
    """A place that can't hold any."""

    def __init__(self, transport: str) -> None:
        """Name the transport."""
        self._transport = transport

    def simple(self, _digest: str) -> tuple[Signature, ...]:
        """Return none."""
        return ()

    def sigstore(self, _digest: str) -> tuple[Signature, ...]:
        """Return none."""
        return ()

    def places(self) -> str:
        """Say why there is none."""
        return f"{self._transport}: holds no signatures"


def format_stored(signature: Signature) -> bytes:
    """Return what ``parse_stored`` parses."""
    if signature.simple:
        return signature.data
    import base64

    fields = {
        "mimeType": signature.media_type,
        "payload": base64.b64encode(signature.data).decode(),
        "annotations": signature.annotations,
    }
    return b"\0sigstore-json\n" + jsontext.dumps(fields).encode()


def parse_stored(blob: bytes, place: str) -> Signature:
    """Parse what ``dir:`` and a lookaside store keep: OpenPGP bytes, or NUL, a format's name, a newline, its bytes.

    Source: containers/image, internal/signature (the format of a stored signature).

    Raises:
        Malformed: it is neither.
    """
    if not blob:
        raise Malformed(f"{place} is empty")
    if blob[0] & 0x80:
        return Signature(place=place, data=blob)
    name, newline, rest = blob[1:].partition(b"\n")
    if blob[0] != 0 or not newline:
        raise Malformed(f"{place} is no binary OpenPGP message and no sigstore signature")
    if name == b"simple-signing":
        return Signature(place=place, data=rest)
    if name != b"sigstore-json":
        raise Malformed(f"{place} has the unknown format {name[:40]!r}")
    found = parse_object(rest, place)
    check_fields(found, place, required={"mimeType": str, "payload": str}, optional={"annotations": dict})
    annotations = found.get("annotations", {})
    if not all(isinstance(value, str) for value in annotations.values()):
        raise Malformed(f"{place}: an annotation is not a string")
    import base64

    try:
        payload = base64.b64decode(found["payload"], validate=True)
    except ValueError as cause:
        raise Malformed(f"{place}: the payload is not base64") from cause
    return Signature(place=place, data=payload, simple=False, media_type=found["mimeType"], annotations=annotations)
