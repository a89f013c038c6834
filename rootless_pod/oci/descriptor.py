"""Content descriptors. Source: OCI image-spec 1.1, descriptor.md."""

from __future__ import annotations

from rootless_pod.frozen import Frozen
from rootless_pod.oci.digest import hex_of, is_digest
from rootless_pod.oci.mediatype import bare
from rootless_pod.oci.platform import Platform, read_platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.oci.document import Document


class Descriptor(Frozen):
    """What names a blob: its media type, digest and size in bytes."""

    media_type: str
    digest: str
    size: int
    urls: tuple[str, ...] = ()
    annotations: dict[str, str] = {}
    platform: Platform | None = None
    artifact_type: str | None = None

    @property
    def hex(self) -> str:
        """The digest without its algorithm."""
        return hex_of(self.digest)

    def to_json(self) -> dict[str, Any]:
        """Return the object of the image-spec, empty fields left out."""
        fields: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.urls:
            fields["urls"] = list(self.urls)
        if self.annotations:
            fields["annotations"] = dict(self.annotations)
        if self.platform is not None:
            fields["platform"] = self.platform.to_json()
        if self.artifact_type:
            fields["artifactType"] = self.artifact_type
        return fields


def read_descriptor(document: Document) -> Descriptor:
    """Return the descriptor in ``document``.

    Raises:
        Corrupt: a field is missing or wrong; the error names it.
    """
    digest = document.text("digest")
    if not is_digest(digest):
        raise document.fault("digest", f"is not a digest: {digest!r}" if digest else "is missing")
    platform = document.child("platform")
    return Descriptor(
        media_type=bare(document.text("mediaType")),
        digest=digest,
        size=document.integer("size"),
        urls=document.texts("urls") or (),
        annotations=document.mapping("annotations"),
        platform=None if platform is None else read_platform(platform),
        artifact_type=document.optional_text("artifactType"),
    )
