"""An image's place in a registry."""

from __future__ import annotations

from rootless_pod.image.destination import Place
from rootless_pod.image.registry.upload import Uploader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless_pod.image.registry.session import Session
    from rootless_pod.image.source import BlobReader
    from rootless_pod.oci.descriptor import Descriptor
    from rootless_pod.oci.reference import Reference

_WORKERS = 6


class RegistryDestination(Place):
    """One tag (or digest) of a repository."""

    workers = _WORKERS
    packs = True

    def __init__(
        self,
        session: Session,
        repository: str,
        version: str,
        *,
        shown: str,
        endpoint: Reference | None = None,
        mounts: Mapping[str, str] | None = None,
        beside: str = "",
        spool_dir: str = Place.spool_dir,
    ) -> None:
        """Write through ``session``.

        ``shown`` is the image's name, ``endpoint`` where its registry has it (None: at its name).
        ``mounts`` maps blobs to repositories of this registry that should have them; ``beside`` is one that should
        have all of them.
        """
        self.shown = shown
        self.spool_dir = spool_dir
        self.uploader = Uploader(session, repository)
        self.endpoint = endpoint
        self.schema1_name = repository, "" if ":" in version else version
        self._version = version
        self._mounts = dict(mounts or {})
        self._beside = beside
        self._locations: dict[str, str] = {}

    def has_blob(self, descriptor: Descriptor) -> str:
        """Look for the blob, and try to mount it from another repository."""
        if self.uploader.has_blob(descriptor.digest):
            return "skipped: already exists"
        source = self._mounts.get(descriptor.digest, self._beside)
        if not source:
            return ""
        location = self.uploader.mount(descriptor.digest, source)
        if location is None:
            return f"skipped: mounted from {source}"
        self._locations[descriptor.digest] = location
        return ""

    def put_blob(
        self, descriptor: Descriptor, opened: Callable[[], BlobReader], on_progress: Callable[[int], None]
    ) -> None:
        """Upload it."""
        location = self._locations.pop(descriptor.digest, "")
        self.uploader.upload(descriptor, opened, location=location, on_progress=on_progress)

    def put_manifest(self, data: bytes, descriptor: Descriptor, *, top: bool) -> None:
        """Put it under the tag (the top one) or its digest; enter it where its subject's referrers are looked for."""
        reference = self._version if top else descriptor.digest
        self.uploader.put_manifest(reference, data, descriptor.media_type, digest=descriptor.digest)
        subject = subject_of(data)
        if subject:
            self.uploader.list_referrer(subject, descriptor)


def subject_of(data: bytes) -> str:
    """Return the digest that a manifest or index names as its subject, "" where there is none."""
    from rootless_pod.oci.document import Document

    child = Document.parse(data, "manifest").child("subject")
    return "" if child is None else child.text("digest")
