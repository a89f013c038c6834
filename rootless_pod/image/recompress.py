"""Layers in another compression: decided from media types, done through an unnamed file."""

from __future__ import annotations

import os

from rootless_pod.errors import Refused, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.image.layout import disk_error
from rootless_pod.oci import mediatype
from rootless_pod.oci.descriptor import Descriptor
from rootless_pod.oci.digest import new_hash
from rootless_pod.storage.compress import new_compressor, open_compressed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.image.formats.tree import FileReader
    from rootless_pod.image.source import BlobReader
    from rootless_pod.storage.compress import Readable

CHUNKED = "zstd:chunked"
LEVELS = {"gzip": range(1, 10), "zstd": range(1, 21), CHUNKED: range(1, 21)}
_TYPES = {
    "gzip": mediatype.OCI_LAYER_GZIP,
    "zstd": mediatype.OCI_LAYER_ZSTD,
    CHUNKED: mediatype.OCI_LAYER_ZSTD,
}


class Compression(Frozen):
    """What layers shall be: ``kind`` is gzip, zstd, zstd:chunked or "" (as it is); ``force``: compressed ones too."""

    kind: str = ""
    level: int | None = None
    force: bool = False

    def check(self) -> None:
        """Look whether the level fits the kind.

        Raises:
            Usage: it does not.
        """
        if self.level is None:
            return
        allowed = LEVELS[self.kind or "gzip"]
        if self.level not in allowed:
            raise Usage(
                f"--compression-level {self.level} is no level of {self.kind or 'gzip'}",
                remedy=f"give a number from {allowed[0]} to {allowed[-1]}",
            )

    def wanted(self, layer: Descriptor, *, packs: bool) -> str:
        """Return the compression to bring ``layer`` in, "" to leave it as it is."""
        has = mediatype.layer_compression(layer.media_type)
        if has is None or mediatype.is_foreign(layer.media_type):
            return ""
        if has == "none":
            return self.kind or ("gzip" if packs or self.force else "")
        kind = self.kind or ("gzip" if self.force else "")
        if has == "zstd" and any(key in layer.annotations for key in _POSITIONS):
            has = CHUNKED if kind == CHUNKED else has
        if not self.force or (has == kind and self.level is None):
            return ""
        return kind


class Spooled:
    """A recompressed layer in a file without a name."""

    def __init__(self, fd: int, descriptor: Descriptor) -> None:
        """Own ``fd``."""
        self._fd = fd
        self.descriptor = descriptor

    def open(self) -> FileReader:
        """Return a reader from the start."""
        from rootless_pod.image.formats.tree import FileReader

        return FileReader(os.dup(self._fd), 0, self.descriptor.size)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)


def recompress(
    reader: BlobReader,
    layer: Descriptor,
    kind: str,
    level: int | None,
    *,
    spool_dir: str,
    on_progress: Callable[[int], None],
) -> Spooled:
    """Read a verified layer to its end and pack it as ``kind``; the descriptor of the result has OCI's media type.

    Raises:
        Corrupt: the layer is damaged.
        NotChunkable: ``kind`` is zstd:chunked, which can't tell of this layer.
        HostUnready: no space in ``spool_dir``.
    """
    fd = unnamed_file(spool_dir)
    try:
        spool = _Spool(fd)
        plain = _Counted(open_compressed(reader, layer.media_type), on_progress)
        added: dict[str, str] = {}
        if kind == CHUNKED:
            from rootless_pod.storage.chunked import write_chunked

            added = write_chunked(plain, spool.write, level)
        else:
            _pack(plain, spool, kind, level)
        # A tar's readers stop before the end of a compressed stream: the digest is only right after all of it.
        while reader.read(1 << 16):
            pass
    except OSError as cause:
        os.close(fd)
        raise disk_error(cause, f"cannot compress layer {layer.digest}", spool_dir) from cause
    except BaseException:
        os.close(fd)
        raise
    finally:
        reader.close()
    kept = {key: value for key, value in layer.annotations.items() if not key.startswith(_OF_THE_BYTES)}
    made = layer.replace(
        media_type=_TYPES[kind],
        digest=f"sha256:{spool.digest.hexdigest()}",
        size=spool.size,
        annotations={**kept, **added},
    )
    return Spooled(fd, made)


def _pack(plain: _Counted, spool: _Spool, kind: str, level: int | None) -> None:
    packer = new_compressor(kind, level)
    while data := plain.read(1 << 18):
        spool.write(packer.compress(data))
    spool.write(packer.flush())


class _Spool:
    """What is written to a file, its digest and size."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.digest = new_hash()
        self.size = 0

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]


class _Counted:
    """A stream that tells how much of it was read."""

    def __init__(self, stream: Readable, on_progress: Callable[[int], None]) -> None:
        self._stream = stream
        self._on_progress = on_progress
        self._seen = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._seen += len(data)
        if data:
            self._on_progress(self._seen)
        return data


# Annotations about the compressed bytes themselves: tables of contents of zstd:chunked and eStargz.
_POSITIONS = ("io.github.containers.zstd-chunked.manifest-position", "io.containers.zstd-chunked.manifest-position")
_OF_THE_BYTES = ("io.github.containers.zstd-chunked.", "io.containers.zstd-chunked.", "containerd.io/snapshot/stargz/")


def unnamed_file(directory: str) -> int:
    """Return the descriptor of a new file that vanishes with it (raises HostUnready)."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        path = f"{directory}/.tmp-{os.urandom(8).hex()}"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.unlink(path)
    except OSError as cause:
        raise disk_error(cause, "cannot make a file for compressed layers", directory) from cause
    return fd


def check_target(kind: str, manifest_format: str) -> None:
    """Refuse a compression that the manifest's kind has no name for (raises Refused)."""
    if kind in ("zstd", CHUNKED) and manifest_format in ("v2s2", "v2s1"):
        raise Refused(
            f"Docker schema {manifest_format[-1]} knows no zstd layers",
            remedy="give --format oci, or --compression-format gzip",
        )
