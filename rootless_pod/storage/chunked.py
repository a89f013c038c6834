"""zstd:chunked: a layer whose files can be fetched one by one, and which any zstd reader unpacks as a whole.

Headers and the pieces of files are zstd frames of their own. Three frames that decompressors skip follow: the table of
contents (where each piece is, its digest, the file's metadata), the tar-split (all of the tar but the files' bytes, so
that it can be made again from files) and a footer that says where both are. The layer's annotations say it too.
Source: containers/storage, pkg/chunked/internal and pkg/chunked/compressor; vbatts/tar-split, tar/storage;
tried with podman 4.3.1. Files are cut every MiB; podman cuts where a rolling sum says, which readers don't ask.
"""

from __future__ import annotations

import base64
import hashlib
import json
import posixpath
import struct
from datetime import UTC, datetime, timedelta

from rootless_pod.frozen import Frozen
from rootless_pod.storage import crc64, tar
from rootless_pod.storage.compress import zstd_module
from rootless_pod.storage.pax import parse_records, parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless_pod.storage.compress import Readable

CHECKSUM = "io.github.containers.zstd-chunked.manifest-checksum"
POSITION = "io.github.containers.zstd-chunked.manifest-position"
TAR_SPLIT = "io.github.containers.zstd-chunked.tarsplit-position"
# What podman read and wrote until 4.4: both may stand side by side.
_OLD_CHECKSUM = "io.containers.zstd-chunked.manifest-checksum"
_OLD_POSITION = "io.containers.zstd-chunked.manifest-position"

CHUNK_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16
_SKIPPABLE = b"\x50\x2a\x4d\x18"
_MAGIC = b"GNUlInUx"
_TYPE_CRFS = 1
_FILE, _SEGMENT = 1, 2
_TYPES = {
    tar.REGULAR: "reg",
    tar.HARD_LINK: "hardlink",
    tar.SYMLINK: "symlink",
    tar.CHARACTER: "char",
    tar.BLOCK_DEVICE: "block",
    tar.DIRECTORY: "dir",
    tar.FIFO: "fifo",
}
_XATTR = b"SCHILY.xattr."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NotChunkable(Exception):
    """The tar holds what a table of contents can't say, or what its readers read otherwise; the text is the reason."""


class _Output:
    """Frames of zstd one after the other, and how many bytes they take."""

    def __init__(self, write: Callable[[bytes], object], level: int | None) -> None:
        self._write = write
        self._zstd = zstd_module()
        self._level = 3 if level is None else level
        self._engine = self.new_engine()
        self._open = False
        self.offset = 0

    def new_engine(self) -> Any:
        return self._zstd.ZstdCompressor(level=self._level)

    def put(self, data: bytes) -> None:
        """Compress into the frame that is open."""
        if data:
            self._open = True
            self._emit(self._engine.compress(data))

    def end_frame(self) -> int:
        """Have what follows start a frame; return where that is."""
        if self._open:
            self._emit(self._engine.flush(self._engine.FLUSH_FRAME))
            self._open = False
        return self.offset

    def skippable(self, data: bytes) -> int:
        """Write a frame that decompressors skip; return where its content starts."""
        self._emit(_SKIPPABLE + struct.pack("<I", len(data)))
        start = self.offset
        self._emit(data)
        return start

    def _emit(self, data: bytes) -> None:
        self.offset += len(data)
        self._write(data)


class _TarSplit:
    """Lines of JSON: stretches of the tar as they are, and in their midst the files by name, size and CRC."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._parts: list[bytes] = []
        self._position = 0
        self.size = 0

    def segment(self, data: bytes) -> None:
        self._line({"type": _SEGMENT, "payload": base64.b64encode(data).decode()})

    def file(self, name: str, size: int, crc: int) -> None:
        entry: dict[str, Any] = {"type": _FILE, "name": name}
        if size:
            entry["size"] = size
        self._line({**entry, "payload": base64.b64encode(crc.to_bytes(8, "big")).decode() if size else None})

    def _line(self, entry: dict[str, Any]) -> None:
        text = _json({**entry, "position": self._position}) + b"\n"
        self._position += 1
        self.size += len(text)
        self._parts.append(self._engine.compress(text))

    def finish(self) -> bytes:
        self._parts.append(self._engine.flush())
        return b"".join(self._parts)


class _Raw:
    """The bytes of the tar that were read but not written yet."""

    def __init__(self) -> None:
        self._seen = bytearray()
        self._start = 0

    def add(self, data: bytes) -> None:
        self._seen += data

    def upto(self, offset: int) -> bytes:
        """Take everything before ``offset`` of the tar."""
        count = offset - self._start
        data = bytes(self._seen[:count])
        del self._seen[:count]
        self._start = offset
        return data


def write_chunked(stream: Readable, write: Callable[[bytes], object], level: int | None = None) -> dict[str, str]:
    """Write the uncompressed tar in ``stream`` as zstd:chunked and return the annotations of the layer.

    Raises:
        NotChunkable: it can't be told in this format; what was written is of no use.
        Corrupt: the tar is damaged.
    """
    out, raw = _Output(write, level), _Raw()
    reader = tar.TarReader(stream, on_bytes=raw.add)
    split, entries, names = _TarSplit(out.new_engine()), [], set()
    padding = 0
    while (entry := reader.next()) is not None:
        head = raw.upto(reader.offset)
        fields = _fields(entry, head, padding)
        name = fields["name"]
        if posixpath.normpath(name) in names:
            raise NotChunkable(f"{name} stands in it twice")
        names.add(posixpath.normpath(name))
        split.segment(head)
        out.put(head)
        crc, described = _file(reader, raw, out, fields)
        split.file(name, entry.size, crc)
        entries += described
        padding = -entry.size % tar.BLOCK
    reader.drain()
    rest = raw.upto(reader.bytes_read)
    split.segment(rest)
    out.put(rest)
    out.end_frame()
    return _finish(out, split, entries)


def _file(reader: tar.TarReader, raw: _Raw, out: _Output, fields: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """Write a file's bytes, each chunk a frame; return their CRC and the entries of the table of contents."""
    left = fields.get("size", 0)
    if not left:
        return 0, [fields]
    crc, whole, at = 0, hashlib.sha256(), 0
    start = position = out.end_frame()
    chunks: list[dict[str, Any]] = []
    while left:
        size, digest = min(CHUNK_BYTES, left), hashlib.sha256()
        wanted = size
        while wanted:
            wanted -= len(reader.read(min(_PIECE_BYTES, wanted)))
            data = raw.upto(reader.offset)
            crc = crc64.update(crc, data)
            digest.update(data)
            whole.update(data)
            out.put(data)
        chunks.append(
            {"chunkSize": size, "chunkOffset": at, "chunkDigest": f"sha256:{digest.hexdigest()}", "offset": position}
        )
        position = out.end_frame()
        at += size
        left -= size
    fields |= {"digest": f"sha256:{whole.hexdigest()}", "offset": start, "endOffset": position}
    if len(chunks) == 1:
        return crc, [fields]
    first, *others = chunks
    del first["chunkOffset"]
    return crc, [{**fields, **first}, *({"type": "chunk", "name": fields["name"], **one} for one in others)]


def _finish(out: _Output, split: _TarSplit, entries: list[dict[str, Any]]) -> dict[str, str]:
    packed_split = split.finish()
    contents = {
        "version": 1,
        "entries": entries,
        "tarSplitDigest": f"sha256:{hashlib.sha256(packed_split).hexdigest()}",
    }
    text = _json(contents)
    engine = out.new_engine()
    packed = engine.compress(text) + engine.flush()
    at = out.skippable(packed)
    split_at = out.skippable(packed_split)
    numbers = (at, len(packed), len(text), _TYPE_CRFS, split_at, len(packed_split), split.size)
    out.skippable(struct.pack("<7Q", *numbers) + _MAGIC)
    checksum = f"sha256:{hashlib.sha256(packed).hexdigest()}"
    position = f"{at}:{len(packed)}:{len(text)}:{_TYPE_CRFS}"
    return {
        CHECKSUM: checksum,
        POSITION: position,
        TAR_SPLIT: f"{split_at}:{len(packed_split)}:{split.size}",
        _OLD_CHECKSUM: checksum,
        _OLD_POSITION: position,
    }


class _Header(Frozen):
    """An entry's own header block, and the PAX records before it."""

    block: bytes
    records: dict[bytes, bytes] = {}

    def number(self, start: int, end: int) -> int:
        return tar.parse_number(self.block[start:end])


def _fields(entry: tar.Entry, head: bytes, padding: int) -> dict[str, Any]:
    """Return an entry of the table of contents, as Go's reader of tars sees the same bytes (raises NotChunkable)."""
    header = _header(head, padding)
    kind = header.block[156:157]
    if kind not in _TYPES:
        raise NotChunkable(f"an entry is of the kind {kind!r}")
    if entry.sparse is not None or entry.size != entry.stored_bytes:
        raise NotChunkable("a file in it is sparse")
    if kind != tar.REGULAR and (header.number(124, 136) or header.records.get(b"size")):
        raise NotChunkable("an entry that is no file has a size")
    fields: dict[str, Any] = {"type": _TYPES[kind], "name": _text(entry.name)}
    xattrs = {
        _text(key.removeprefix(_XATTR)): base64.b64encode(value).decode()
        for key, value in header.records.items()
        if key.startswith(_XATTR) and value
    }
    described = {
        "linkName": _text(entry.link),
        "mode": header.number(100, 108),
        "size": entry.size,
        "uid": entry.uid,
        "gid": entry.gid,
        "modtime": _time(entry.mtime_ns),
        "accesstime": _pax_time(header.records.get(b"atime")),
        "changetime": _pax_time(header.records.get(b"ctime")),
        "devMajor": _device(header, 329),
        "devMinor": _device(header, 337),
        "xattrs": xattrs,
    }
    return fields | {key: value for key, value in described.items() if value}


def _header(head: bytes, padding: int) -> _Header:
    """Find the header in what stands before an entry's data: padding, header extensions, the header."""
    at, records = padding, {}
    while at + tar.BLOCK < len(head):
        kind = head[at + 156 : at + 157]
        size = tar.parse_number(head[at + 124 : at + 136])
        content = head[at + tar.BLOCK : at + tar.BLOCK + size]
        if kind == b"x":
            records = parse_records(content)
        elif kind not in (b"L", b"K"):
            raise NotChunkable(f"a header extension is of the kind {kind!r}")
        at += tar.BLOCK + size + (-size % tar.BLOCK)
    block = head[at:]
    gnu_times = block[257:263] == b"ustar " and (block[345] or block[357])
    if len(block) != tar.BLOCK or gnu_times or block[508:512] == b"tar\0":
        raise NotChunkable("a header is of a rare form")
    return _Header(block=block, records=records)


def _device(header: _Header, start: int) -> int:
    """Return a device number, which headers of before ustar don't have."""
    return header.number(start, start + 8) if header.block[257:262] == b"ustar" else 0


def _json(value: dict[str, Any]) -> bytes:
    """Write JSON with names as they are: podman 4.3 takes an escaped letter for the six of its escape."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as cause:
        raise NotChunkable(f"the name {name!r} is not UTF-8") from cause


def _pax_time(value: bytes | None) -> str:
    """Return the time in a PAX record, "" where there is none."""
    return _time(parse_time(value)) if value else ""


def _time(ns: int) -> str:
    """Return a time as Go writes it into JSON."""
    seconds, rest = divmod(ns, 1_000_000_000)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{text}{fraction}Z"
