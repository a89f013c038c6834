"""OCI image layouts in a tar archive: written in one pass, blobs as they are."""

from __future__ import annotations

import io
import tarfile

from rootless_pod import jsontext
from rootless_pod.image.formats.layout import REF_NAME
from rootless_pod.oci.mediatype import OCI_INDEX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from rootless_pod.image.save import SavedImage


def layout_documents(images: tuple[SavedImage, ...]) -> dict[str, bytes]:
    """Return ``oci-layout`` and ``index.json`` for images with their names."""
    manifests = []
    for image in images:
        descriptor = {"mediaType": image.manifest.media_type, "digest": image.digest, "size": len(image.data)}
        manifests += [{**descriptor, "annotations": {REF_NAME: name}} for name in image.names] or [descriptor]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    return {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": jsontext.dumps(index).encode(),
    }


def write_oci_archive(output: BinaryIO, images: tuple[SavedImage, ...]) -> None:
    """Write the archive; every blob once, its bytes unchanged."""
    with tarfile.open(fileobj=output, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for directory in ("blobs", "blobs/sha256"):
            add_directory(archive, directory)
        written: set[str] = set()
        for image in images:
            for digest, size, opened in image.blobs():
                if digest not in written:
                    written.add(digest)
                    with opened() as file:
                        add_file(archive, f"blobs/{digest.replace(':', '/')}", file, size)
        for name, data in layout_documents(images).items():
            add_file(archive, name, io.BytesIO(data), len(data))


def add_directory(archive: tarfile.TarFile, name: str) -> None:
    """Add a directory entry without a time or an owner, so that equal images give equal archives."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    archive.addfile(entry)


def add_file(archive: tarfile.TarFile, name: str, file: BinaryIO, size: int) -> None:
    """Add ``size`` bytes of ``file``."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    archive.addfile(entry, file)
