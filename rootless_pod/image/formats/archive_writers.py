"""Tar archives as destinations, written in one pass beside their name and renamed when whole."""

from __future__ import annotations

import io
import os
import tarfile

from rootless_pod import jsontext
from rootless_pod.errors import Corrupt, Refused, Usage
from rootless_pod.image.destination import Place, write_blob
from rootless_pod.image.formats.layout import REF_NAME
from rootless_pod.image.formats.oci_archive import add_directory, add_file
from rootless_pod.image.layout import disk_error
from rootless_pod.oci import mediatype
from rootless_pod.oci.digest import new_hash
from rootless_pod.oci.image import parse_config
from rootless_pod.oci.manifest import parse_manifest
from rootless_pod.storage.compress import open_compressed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import BinaryIO, Self

    from rootless_pod.image.source import BlobReader
    from rootless_pod.oci.descriptor import Descriptor


_MAX_CONFIG_BYTES = 4 << 20


class _Archive(Place):
    """A tar that grows; a device or pipe is written to as it is."""

    def __init__(self, path: str) -> None:
        """Write to ``path``.

        Raises:
            Usage: it is a directory.
        """
        if os.path.isdir(path):
            raise Usage(f"{path} is a directory, not an archive", remedy="give the name of a file")
        self.path = path
        self.shown = path
        directory, name = os.path.split(os.path.abspath(path))
        self.spool_dir = directory
        straight = os.path.exists(path) and not os.path.isfile(path)
        self._temporary = "" if straight else f"{directory}/.{name}.{os.getpid()}.tmp"
        self._written: set[str] = set()

    def __enter__(self) -> Self:
        """Open the file (raises HostUnready)."""
        try:
            self._file: BinaryIO = open(self._temporary or self.path, "xb" if self._temporary else "wb")
        except OSError as cause:
            self._temporary = ""
            raise disk_error(cause, f"cannot write {self.path}", self.spool_dir) from cause
        self._tar = tarfile.open(fileobj=self._file, mode="w|", format=tarfile.PAX_FORMAT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it; without a commit it is removed."""
        try:
            # Idempotent; a stream left open would complain when it is collected.
            self._tar.close()
        except OSError:
            pass
        self._file.close()
        if self._temporary:
            try:
                os.unlink(self._temporary)
            except FileNotFoundError:
                pass

    def add(self, name: str, file: BinaryIO, size: int) -> None:
        """Add a file, unless one of that name is there."""
        if name in self._written:
            return
        self._written.add(name)
        try:
            add_file(self._tar, name, file, size)
        except OSError as cause:
            raise disk_error(cause, f"cannot write {self.path}", self.spool_dir) from cause

    def add_text(self, name: str, data: bytes) -> None:
        """Add a small file."""
        self.add(name, io.BytesIO(data), len(data))

    def end(self) -> None:
        """Finish the archive and give it its name."""
        try:
            self._tar.close()
            self._file.flush()
            if self._temporary:
                os.rename(self._temporary, self.path)
                self._temporary = ""
        except OSError as cause:
            raise disk_error(cause, f"cannot write {self.path}", self.spool_dir) from cause


class OciArchiveDestination(_Archive):
    """An OCI image layout in a tar."""

    def __init__(self, path: str, name: str) -> None:
        """Write to ``path``; the image is called ``name`` there ("": nothing)."""
        super().__init__(path)
        self._name = name
        self._top: dict[str, object] = {}

    def __enter__(self) -> Self:
        """Open it and begin with the directories."""
        super().__enter__()
        for directory in ("blobs", "blobs/sha256"):
            add_directory(self._tar, directory)
        return self

    def put_blob(
        self, descriptor: Descriptor, opened: Callable[[], BlobReader], on_progress: Callable[[int], None]
    ) -> None:
        """Add the blob as it is."""
        reader = opened()
        try:
            file = _Exact(reader, on_progress)
            self.add(f"blobs/{descriptor.digest.replace(':', '/')}", file, descriptor.size)  # type: ignore[arg-type]
            file.finish()
        finally:
            reader.close()

    def put_manifest(self, data: bytes, descriptor: Descriptor, *, top: bool) -> None:
        """Add it as a blob."""
        self.add_text(f"blobs/{descriptor.digest.replace(':', '/')}", data)
        if top:
            self._top = {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}
            if self._name:
                self._top["annotations"] = {REF_NAME: self._name}

    def commit(self) -> None:
        """Add the index and finish."""
        index = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": [self._top]}
        self.add_text("index.json", jsontext.dumps(index).encode())
        self.add_text("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        self.end()


class DockerArchiveDestination(_Archive):
    """What ``docker load`` reads: layers decompressed, called by their diff ids."""

    takes_lists = False
    takes_urls = False

    def __init__(self, path: str, tags: tuple[str, ...]) -> None:
        """Write to ``path``; the image has ``tags`` there."""
        super().__init__(path)
        self._tags = tags
        self._texts: dict[str, bytes] = {}
        self._diff_ids: dict[str, str] = {}

    def put_blob(
        self, descriptor: Descriptor, opened: Callable[[], BlobReader], on_progress: Callable[[int], None]
    ) -> None:
        """Add a layer, decompressed through an unnamed file: its size stands before it. The config is kept."""
        compression = mediatype.layer_compression(descriptor.media_type)
        is_layer = compression is not None or descriptor.media_type == mediatype.DOCKER_LAYER_ZSTD
        if not is_layer and (descriptor.media_type not in mediatype.CONFIGS or descriptor.size > _MAX_CONFIG_BYTES):
            raise Refused(
                f"{self.shown} holds container images, and a blob is of type {descriptor.media_type}",
                remedy="use oci-archive: instead",
            )
        reader = opened()
        if not is_layer:
            kept = io.BytesIO()
            write_blob(kept, reader, on_progress)
            self._texts[descriptor.digest] = kept.getvalue()
            return
        try:
            if compression == "none":
                self._add_layer(descriptor.digest, descriptor.digest, _Exact(reader, on_progress), descriptor.size)
                return
            self._add_unpacked(descriptor, reader, on_progress)
        finally:
            reader.close()

    def _add_unpacked(self, descriptor: Descriptor, reader: BlobReader, on_progress: Callable[[int], None]) -> None:
        from rootless_pod.image.recompress import unnamed_file

        digest, size = new_hash(), 0
        with os.fdopen(unnamed_file(self.spool_dir), "w+b") as file:
            plain = open_compressed(reader, descriptor.media_type)
            try:
                while data := plain.read(1 << 18):
                    digest.update(data)
                    size += len(data)
                    file.write(data)
                    on_progress(size)
                file.seek(0)
            except OSError as cause:
                raise disk_error(cause, f"cannot write {self.path}", self.spool_dir) from cause
            while reader.read(1 << 16):
                pass
            self._add_layer(descriptor.digest, f"sha256:{digest.hexdigest()}", file, size)

    def _add_layer(self, blob: str, diff_id: str, file: BinaryIO | _Exact, size: int) -> None:
        self._diff_ids[blob] = diff_id
        self.add(f"{diff_id.removeprefix('sha256:')}.tar", file, size)  # type: ignore[arg-type]
        if isinstance(file, _Exact):
            file.finish()

    def put_manifest(self, data: bytes, descriptor: Descriptor, *, top: bool) -> None:  # noqa: ARG002 - one image
        """Add the config and the listing (raises Corrupt where the config names other layers)."""
        manifest = parse_manifest(data, descriptor.media_type)
        text = self._texts[manifest.config.digest]
        diff_ids = [self._diff_ids[layer.digest] for layer in manifest.layers]
        if tuple(diff_ids) != parse_config(text).diff_ids:
            raise Corrupt(
                f"{self.shown}: the image's layers do not unpack to the diff ids its config names",
                remedy="ask the image's publisher: manifest and config don't belong together",
            )
        self.add_text(f"{manifest.config.hex}.json", text)
        names = [f"{diff_id.removeprefix('sha256:')}.tar" for diff_id in diff_ids]
        listing = [{"Config": f"{manifest.config.hex}.json", "RepoTags": list(self._tags) or None, "Layers": names}]
        self.add_text("manifest.json", jsontext.dumps(listing).encode())

    def commit(self) -> None:
        """Finish."""
        self.end()


class _Exact:
    """Gives ``tarfile`` as many bytes as it asks for, where the reader below may give fewer."""

    def __init__(self, reader: BlobReader, on_progress: Callable[[int], None]) -> None:
        self._reader = reader
        self._on_progress = on_progress
        self._seen = 0

    def read(self, size: int) -> bytes:
        parts = []
        while size and (part := self._reader.read(size)):
            parts.append(part)
            size -= len(part)
            self._seen += len(part)
        self._on_progress(self._seen)
        return b"".join(parts)

    def finish(self) -> None:
        """Read to the end, where the digest is compared."""
        while self._reader.read(1 << 16):
            pass
