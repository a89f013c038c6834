"""The face between a place images go to (registry, archive, directory) and what moves them there."""

from __future__ import annotations

import os

from rootless_pod.errors import Refused
from rootless_pod.image.source import VerifiedBlob
from rootless_pod.oci.descriptor import Descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import BinaryIO, Protocol, Self

    from rootless_pod.image.source import BlobReader

    class ImageDestination(Protocol):
        """One image's place. A context manager: what is there before ``commit`` is gone again after a failure.

        ``workers``: how many blobs may be brought at once. ``takes_lists``: whether it can hold an index.
        ``takes_urls``: whether a layer with addresses of its own may stay away. ``packs``: whether plain layers are
        compressed on the way where the user said nothing. ``spool_dir``: where recompressed layers may lie.
        ``schema1_name``: the name and tag that a manifest of Docker schema 1 has there (None: it can't hold one).
        """

        shown: str
        workers: int
        takes_lists: bool
        takes_urls: bool
        packs: bool
        spool_dir: str
        schema1_name: tuple[str, str] | None

        def __enter__(self) -> Self:
            """Prepare the place."""

        def __exit__(
            self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
        ) -> None:
            """Let go of it; without a commit, clean up."""

        def has_blob(self, descriptor: Descriptor) -> str:
            """Return why the blob need not be brought ("skipped: already exists"), or nothing."""

        def put_blob(
            self, descriptor: Descriptor, opened: Callable[[], BlobReader], on_progress: Callable[[int], None]
        ) -> None:
            """Bring a blob; ``opened`` gives its verified bytes, and may be called again after a break."""

        def put_manifest(self, data: bytes, descriptor: Descriptor, *, top: bool) -> None:
            """Bring a manifest or index; ``top`` is the one that gets the name."""

        def commit(self) -> None:
            """Make it final."""


class ManifestRejected(Refused):
    """The destination does not take manifests of this kind; it may take the other one."""


class CheckedReader:
    """A blob's bytes that are compared with its digest before the end is told."""

    def __init__(self, reader: BlobReader, descriptor: Descriptor) -> None:
        """Read from ``reader`` and own it."""
        self._reader = reader
        self._blob = VerifiedBlob(reader, descriptor)

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; nothing at the end, which is reached only if all is right (raises Corrupt)."""
        data = self._blob.read(size)
        if not data:
            self._blob.finish()
        return data

    def finish(self) -> None:
        """Read what is left and compare (raises Corrupt)."""
        self._blob.finish()

    def close(self) -> None:
        """Let go of it; idempotent."""
        self._reader.close()


def write_blob(file: BinaryIO, reader: BlobReader, on_progress: Callable[[int], None]) -> None:
    """Write everything of ``reader`` to ``file`` and close the reader."""
    seen = 0
    try:
        while data := reader.read(1 << 18):
            file.write(data)
            seen += len(data)
            on_progress(seen)
    finally:
        reader.close()


def write_file_beside(path: str, reader: BlobReader, on_progress: Callable[[int], None]) -> None:
    """Write a verified blob to ``path`` through a temporary file: what has the name is whole."""
    temporary = f"{path}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    try:
        with open(temporary, "xb") as file:
            write_blob(file, reader, on_progress)
        os.rename(temporary, path)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise


class Place:
    """What most destinations share: nothing to prepare, nothing to clean up."""

    shown = ""
    workers = 1
    takes_lists = True
    takes_urls = True
    packs = False
    spool_dir = "/var/tmp"  # noqa: S108 - spooled files have no name
    schema1_name: tuple[str, str] | None = None

    def __enter__(self) -> Self:
        """Prepare nothing."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clean up nothing."""

    def has_blob(self, descriptor: Descriptor) -> str:  # noqa: ARG002 - the answer is for all
        """Say that it must be brought."""
        return ""

    def commit(self) -> None:
        """Do nothing more."""
