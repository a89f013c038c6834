"""The face between a place images come from (registry, archive, directory) and what installs them."""

from __future__ import annotations

from rootless_pod.errors import Corrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from rootless_pod.oci.descriptor import Descriptor

    class BlobReader(Protocol):
        """A blob as a stream."""

        def read(self, size: int, /) -> bytes:
            """Return at least one and up to ``size`` bytes, nothing at the end."""

        def close(self) -> None:
            """Let go of it; idempotent."""

    class ImageSource(Protocol):
        """One image somewhere else. ``shown`` names the place in messages; forked children use their copy."""

        shown: str

        def manifest(self) -> tuple[bytes, str]:
            """Return the top document (manifest or index) as it is, and its media type ("" when unknown)."""

        def child_manifest(self, descriptor: Descriptor) -> bytes:
            """Return a manifest that an index lists."""

        def blob(self, descriptor: Descriptor) -> BlobReader:
            """Open a config or layer; whoever reads it verifies it."""


class VerifiedBlob:
    """Reads a blob and checks digest and size as it goes by; ``finish`` must come before the bytes are trusted."""

    def __init__(self, reader: BlobReader, descriptor: Descriptor) -> None:
        """Read from ``reader``, which the caller closes."""
        from rootless_pod.oci.digest import Verifier

        self._reader = reader
        self._verifier = Verifier(descriptor.digest, descriptor.size)

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, nothing at the end."""
        data = self._reader.read(size)
        if data:
            self._verifier.update(data)
        return data

    def finish(self) -> None:
        """Read what is left and compare.

        Raises:
            Corrupt: digest or size differ.
        """
        while self.read(1 << 18):
            pass
        self._verifier.finish()


def read_small(source: ImageSource, descriptor: Descriptor, *, limit: int = 4 << 20) -> bytes:
    """Return a verified config blob.

    Raises:
        Corrupt: it is larger than ``limit``, or digest or size differ.
    """
    if descriptor.size > limit:
        raise Corrupt(f"{source.shown}: blob {descriptor.digest} of {descriptor.size} bytes is too large for a config")
    reader = source.blob(descriptor)
    try:
        blob = VerifiedBlob(reader, descriptor)
        parts = []
        while part := blob.read(65536):
            parts.append(part)
        blob.finish()
    finally:
        reader.close()
    return b"".join(parts)
