"""An image in the user's store, as a source for push and copy."""

from __future__ import annotations

import os

from rootless_pod.errors import Corrupt, RpodError
from rootless_pod.image.formats.tree import FileReader
from rootless_pod.oci.manifest import parse_manifest
from rootless_pod.oci.reference import parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.image.layout import Layout
    from rootless_pod.image.source import BlobReader
    from rootless_pod.oci.descriptor import Descriptor
    from rootless_pod.oci.reference import Reference


class LocalSource:
    """One manifest (or index) of the store and its blobs."""

    def __init__(self, layout: Layout, digest: str, shown: str) -> None:
        """Read the manifest ``digest``; ``shown`` is the image's name for messages."""
        self._layout = layout
        self._digest = digest
        self.shown = shown

    def manifest(self) -> tuple[bytes, str]:
        """Return the manifest as it is kept."""
        return self._layout.read_blob(self._digest), ""

    def child_manifest(self, descriptor: Descriptor) -> bytes:
        """Return a manifest that an index lists."""
        return self._layout.read_blob(descriptor.digest)

    def blob(self, descriptor: Descriptor) -> BlobReader:
        """Open a blob.

        Raises:
            Corrupt: it is gone.
        """
        try:
            fd = os.open(self._layout.blob_path(descriptor.digest), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as cause:
            raise Corrupt(
                f"blob {descriptor.digest} of {self.shown} is missing from the image store",
                remedy=f"run: rpod pull {self.shown}",
            ) from cause
        return FileReader(fd, 0, os.fstat(fd).st_size)


def other_places(layout: Layout, target: Reference) -> dict[str, Reference]:
    """Return blobs that other repositories of the target's registry should have: digest → a name they came by."""
    places: dict[str, Reference] = {}
    for entry in layout.entries():
        if not entry.name or not entry.name.startswith(f"{target.registry}/"):
            continue
        try:
            name = parse_reference(entry.name)
            if name.repository == target.repository:
                continue
            manifest = parse_manifest(layout.read_blob(entry.digest))
        except RpodError:
            continue
        for blob in (manifest.config, *manifest.layers):
            places.setdefault(blob.digest, name)
    return places
