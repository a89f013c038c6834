"""Image manifests and indexes. Source: OCI image-spec 1.1 manifest.md, image-index.md; Docker manifest v2 schema 2."""

from __future__ import annotations

from rootless_pod import jsontext
from rootless_pod.errors import Corrupt, NotFound
from rootless_pod.frozen import Frozen
from rootless_pod.oci import mediatype
from rootless_pod.oci.descriptor import Descriptor, read_descriptor
from rootless_pod.oci.document import Document
from rootless_pod.oci.platform import Platform, choose_platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# No registry takes a bigger one. Source: distribution-spec 1.1, "Pushing Manifests".
MAX_MANIFEST_BYTES = 4 * 1024 * 1024


class Manifest(Frozen):
    """One image (or artifact): a config blob and layers, bottom first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = mediatype.OCI_MANIFEST
    annotations: dict[str, str] = {}
    artifact_type: str | None = None
    subject: Descriptor | None = None


class Index(Frozen):
    """Manifests of one image for several platforms, or the content of an image layout."""

    manifests: tuple[Descriptor, ...]
    media_type: str = mediatype.OCI_INDEX
    annotations: dict[str, str] = {}
    artifact_type: str | None = None
    subject: Descriptor | None = None


def detect_media_type(data: bytes, claimed: str | None = None) -> str:
    """Return what a manifest document is, from its own ``mediaType``, its fields and what the sender claimed.

    Raises:
        Corrupt: it is no manifest, is both kinds at once, is schema 1, or contradicts ``claimed``.
    """
    return _media_type(Document.parse(data, "manifest"), claimed)


def _media_type(document: Document, claimed: str | None) -> str:
    own = mediatype.bare(document.text("mediaType"))
    given = mediatype.bare(claimed or "")
    if own in mediatype.SCHEMA1 or given in mediatype.SCHEMA1 or "fsLayers" in document:
        raise schema1_fault()
    # Source: CVE-2021-41190: a document that is both a manifest and an index means two images to two readers.
    if "manifests" in document and ("layers" in document or "config" in document):
        raise Corrupt("manifest has both manifests and layers: it is ambiguous")
    known = mediatype.INDEXES | mediatype.MANIFESTS
    if own and given in known and own != given:
        raise Corrupt(f"manifest says it is {own} but was announced as {given}")
    found = own or (given if given in known else "")
    if not found:
        found = mediatype.OCI_INDEX if "manifests" in document else mediatype.OCI_MANIFEST
    if found not in known:
        raise document.fault("mediaType", f"is not one of an image: {found}")
    return found


def schema1_fault() -> Corrupt:
    """Return what is said to a manifest of Docker schema 1, which has no config and no sizes."""
    return Corrupt(
        "manifest is of Docker schema 1, which rpod writes but does not read",
        remedy="convert the image at its registry with: skopeo copy --format v2s2",
    )


def _open(data: bytes, claimed: str | None, allowed: frozenset[str]) -> tuple[Document, str]:
    if len(data) > MAX_MANIFEST_BYTES:
        raise Corrupt(f"manifest has {len(data)} bytes, more than the {MAX_MANIFEST_BYTES} allowed")
    document = Document.parse(data, "manifest")
    found = _media_type(document, claimed)
    if found not in allowed:
        raise document.fault("mediaType", f"is {found}, which is another kind of document")
    if document.integer("schemaVersion") != 2:
        raise document.fault("schemaVersion", "is not 2")
    return document, found


def _subject(document: Document) -> Descriptor | None:
    child = document.child("subject")
    return None if child is None else read_descriptor(child)


def parse_manifest(data: bytes, media_type: str | None = None) -> Manifest:
    """Parse an image manifest; ``media_type`` is what the sender claimed, if anything.

    Raises:
        Corrupt: a field is missing or wrong; the error names it.
    """
    document, found = _open(data, media_type, mediatype.MANIFESTS)
    config = document.child("config")
    if config is None:
        raise document.fault("config", "is missing")
    if "layers" not in document:
        raise document.fault("layers", "is missing")
    return Manifest(
        config=read_descriptor(config),
        layers=tuple(read_descriptor(child) for child in document.children("layers")),
        media_type=found,
        annotations=document.mapping("annotations"),
        artifact_type=document.optional_text("artifactType"),
        subject=_subject(document),
    )


def parse_index(data: bytes, media_type: str | None = None) -> Index:
    """Parse an image index or manifest list; ``media_type`` is what the sender claimed, if anything.

    Raises:
        Corrupt: a field is missing or wrong; the error names it.
    """
    document, found = _open(data, media_type, mediatype.INDEXES)
    if "manifests" not in document:
        raise document.fault("manifests", "is missing")
    return Index(
        manifests=tuple(read_descriptor(child) for child in document.children("manifests")),
        media_type=found,
        annotations=document.mapping("annotations"),
        artifact_type=document.optional_text("artifactType"),
        subject=_subject(document),
    )


def _format(document: Manifest | Index, content: dict[str, Any]) -> bytes:
    fields: dict[str, Any] = {"schemaVersion": 2, "mediaType": document.media_type}
    if document.artifact_type:
        fields["artifactType"] = document.artifact_type
    fields.update(content)
    if document.subject is not None:
        fields["subject"] = document.subject.to_json()
    if document.annotations:
        fields["annotations"] = dict(document.annotations)
    return jsontext.dumps(fields).encode()


def format_manifest(manifest: Manifest) -> bytes:
    """Write a manifest. The same value gives the same bytes; bytes read from elsewhere are kept, never written anew."""
    content = {"config": manifest.config.to_json(), "layers": [layer.to_json() for layer in manifest.layers]}
    return _format(manifest, content)


def format_index(index: Index) -> bytes:
    """Write an index; see ``format_manifest``."""
    return _format(index, {"manifests": [manifest.to_json() for manifest in index.manifests]})


def choose_manifest(index: Index, wanted: Platform) -> Descriptor:
    """Return the descriptor of ``index`` that runs best on ``wanted``.

    Attestations (platform ``unknown/unknown``) never match; a descriptor without a platform is taken only
    when no other matches and it is the only one of its kind.

    Raises:
        NotFound: none fits; the error lists the platforms there are.
    """
    named = [entry for entry in index.manifests if entry.platform is not None]
    position = choose_platform(wanted, [entry.platform for entry in named if entry.platform is not None])
    if position is not None:
        return named[position]
    plain = [
        entry
        for entry in index.manifests
        if entry.platform is None and (not entry.media_type or entry.media_type in mediatype.MANIFESTS)
    ]
    if len(plain) == 1:
        return plain[0]
    offered = sorted({str(entry.platform) for entry in named} - {"unknown/unknown"})
    raise NotFound(
        f"the image has no manifest for {wanted}; it has {', '.join(offered) or 'none with a platform'}",
        remedy="choose one with --platform" if offered else None,
    )
