"""Sigstore signatures that lie beside an image in its registry.

Source: sigstore/cosign, specs/SIGNATURE_SPEC.md (the tag ``sha256-HEX.sig``); distribution-spec 1.1 (referrers).
"""

from __future__ import annotations

from rootless_pod.errors import NotFound, Refused
from rootless_pod.image.registry.source import RegistrySource
from rootless_pod.image.source import read_small
from rootless_pod.image.trust.signature import MAX_SIGNATURE_BYTES, MAX_SIGNATURES, PAYLOAD_TYPE, Signature
from rootless_pod.oci.digest import of_bytes
from rootless_pod.oci.manifest import detect_media_type, parse_manifest
from rootless_pod.oci.mediatype import is_index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.image.registry.client import RegistryClient

ARTIFACT_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"


class Attachments:
    """The signatures in one repository."""

    def __init__(self, client: RegistryClient, shown: str) -> None:
        """Ask ``client``; ``shown`` is ``registry/repository``."""
        self._client = client
        self._shown = shown

    def read(self, digest: str) -> tuple[Signature, ...]:
        """Return the signatures of the manifest ``digest``: those at cosign's tag, then the referrers.

        Raises:
            Refused: the registry does not answer, or there are too many.
            Corrupt: a signature's manifest or payload is damaged.
        """
        found: list[Signature] = []
        tag = signature_tag(digest)
        try:
            data, claimed = self._client.manifest(tag)
        except NotFound:
            pass
        else:
            found += self._in_manifest(data, claimed, f"{self._shown}:{tag}")
        for descriptor in self._client.referrers(digest, ARTIFACT_TYPE)[:MAX_SIGNATURES]:
            data, claimed = self._client.manifest(descriptor.digest)
            if of_bytes(data) == descriptor.digest:
                found += self._in_manifest(data, claimed, f"{self._shown}@{descriptor.digest}")
        return tuple(found)

    def _in_manifest(self, data: bytes, claimed: str, shown: str) -> list[Signature]:
        if is_index(detect_media_type(data, claimed or None)):
            return []
        manifest = parse_manifest(data, claimed or None)
        if len(manifest.layers) > MAX_SIGNATURES:
            raise Refused(
                f"{shown} has {len(manifest.layers)} signatures, more than the {MAX_SIGNATURES} allowed",
                remedy="ask the publisher to remove old signatures",
            )
        source = RegistrySource(self._client, shown, shown)
        return [
            Signature(
                place=f"{shown} (signature {number})",
                data=read_small(source, layer, limit=MAX_SIGNATURE_BYTES),
                simple=False,
                media_type=layer.media_type,
                annotations=layer.annotations,
            )
            for number, layer in enumerate(manifest.layers, 1)
            if layer.media_type == PAYLOAD_TYPE
        ]


def signature_tag(digest: str) -> str:
    """Return the tag under which cosign keeps the signatures of a manifest."""
    return f"{digest.replace(':', '-')}.sig"
