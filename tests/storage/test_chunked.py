"""zstd:chunked: what is written is read by what knows nothing of it, and says the truth to what does."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import struct
import tarfile

import pytest

from rootless_pod.storage import chunked, crc64
from rootless_pod.storage.chunked import CHECKSUM, CHUNK_BYTES, POSITION, TAR_SPLIT, NotChunkable, write_chunked
from rootless_pod.storage.compress import open_compressed, zstd_module

BIG = os.urandom(CHUNK_BYTES) + b"a" * 100_000 + os.urandom(CHUNK_BYTES)
TIME = 1_700_000_000


def archive(form=tarfile.PAX_FORMAT):
    """Return a tar of every kind of entry that layers have."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:

        def add(name, data=b"", kind=tarfile.REGTYPE, **more):
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.mtime = kind, len(data), TIME
            for key, value in more.items():
                setattr(entry, key, value)
            tar.addfile(entry, io.BytesIO(data))

        add("./", kind=tarfile.DIRTYPE, mode=0o755)
        add("./bin/", kind=tarfile.DIRTYPE, mode=0o1777, uid=5, gid=6)
        add("./bin/small", b"hello\n", mode=0o4755)
        add("./bin/empty")
        add("./bin/big", BIG)
        add("./bin/link", kind=tarfile.SYMTYPE, linkname="small")
        add("./bin/hard", kind=tarfile.LNKTYPE, linkname="./bin/small")
        add("./dev", kind=tarfile.CHRTYPE, devmajor=1, devminor=3)
        add("./pipe", kind=tarfile.FIFOTYPE)
        add("./" + "long/" * 40 + "name", b"x" * 512)
        if form == tarfile.PAX_FORMAT:
            more = {"SCHILY.xattr.user.note": "words", "mtime": "1700000000.25", "atime": "1700000001"}
            add("./näme", b"attributes", pax_headers=more)
        add("./.wh.gone")
    return file.getvalue()


class Written:
    """A layer as it was written, taken apart by its annotations."""

    def __init__(self, data):
        out = io.BytesIO()
        self.annotations = write_chunked(io.BytesIO(data), out.write)
        self.blob = out.getvalue()
        self.at, size, plain, kind = map(int, self.annotations[POSITION].split(":"))
        packed = self.blob[self.at : self.at + size]
        assert f"sha256:{hashlib.sha256(packed).hexdigest()}" == self.annotations[CHECKSUM]
        text = zstd_module().decompress(packed)
        assert (len(text), kind) == (plain, 1)
        self.text, self.contents = text, json.loads(text)
        split_at, split_size, split_plain = map(int, self.annotations[TAR_SPLIT].split(":"))
        packed = self.blob[split_at : split_at + split_size]
        assert self.contents["tarSplitDigest"] == f"sha256:{hashlib.sha256(packed).hexdigest()}"
        lines = zstd_module().decompress(packed)
        assert len(lines) == split_plain
        self.split = [json.loads(line) for line in lines.splitlines()]
        footer = self.blob[-64:]
        assert footer[-8:] == b"GNUlInUx"
        assert struct.unpack("<7Q", footer[:56]) == (self.at, size, plain, 1, split_at, split_size, split_plain)
        assert self.blob[-72:-64] == b"\x50\x2a\x4d\x18" + struct.pack("<I", 64)

    def piece(self, start, end):
        return zstd_module().decompress(self.blob[start:end])


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_the_whole_is_the_tar_and_each_piece_is_a_file_s(form):
    data = archive(form)
    written = Written(data)
    unpacked = open_compressed(io.BytesIO(written.blob))
    parts = []
    while part := unpacked.read(1 << 16):
        parts.append(bytes(part))
    assert b"".join(parts) == data
    entries = written.contents["entries"]
    files = [one for one in entries if one["type"] != "chunk"]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
        assert [one["name"].rstrip("/") for one in files] == [one.name for one in members]
        for entry, member in zip(files, members, strict=True):
            assert entry.get("mode", 0) == member.mode
            assert (entry.get("uid", 0), entry.get("gid", 0)) == (member.uid, member.gid)
            assert entry.get("size", 0) == member.size
            assert entry.get("linkName", "") == member.linkname
            assert entry["modtime"].startswith("2023-11-14T22:13:20")
            content = tar.extractfile(member).read() if member.isfile() else b""
            if not content:
                assert "offset" not in entry
                continue
            assert entry["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
            assert written.piece(entry["offset"], entry["endOffset"]) == content
    kinds = {one["type"] for one in entries}
    assert kinds == {"dir", "reg", "chunk", "symlink", "hardlink", "char", "fifo"}
    device = next(one for one in files if one["type"] == "char")
    assert (device["devMajor"], device["devMinor"]) == (1, 3)


def test_a_big_file_lies_in_chunks_that_can_be_had_one_by_one():
    written = Written(archive())
    entries = written.contents["entries"]
    first = next(number for number, one in enumerate(entries) if one["name"] == "./bin/big")
    chunks = [entries[first], *(one for one in entries if one["type"] == "chunk")]
    assert [one["type"] for one in entries[first : first + 3]] == ["reg", "chunk", "chunk"]
    starts = [one["offset"] for one in chunks] + [entries[first]["endOffset"]]
    assert starts == sorted(starts)
    found = b""
    for number, one in enumerate(chunks):
        piece = written.piece(starts[number], starts[number + 1])
        assert one.get("chunkOffset", 0) == len(found)
        assert one["chunkSize"] == len(piece)
        assert one["chunkDigest"] == f"sha256:{hashlib.sha256(piece).hexdigest()}"
        found += piece
    assert found == BIG


def test_the_tar_is_made_again_from_the_split_and_the_files():
    data = archive()
    written = Written(data)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        contents = {one.name: tar.extractfile(one).read() for one in tar.getmembers() if one.isfile()}
    made = b""
    for position, line in enumerate(written.split):
        assert line["position"] == position
        if line["type"] == 2:
            made += base64.b64decode(line["payload"])
        elif line.get("size"):
            content = contents[line["name"]]
            assert base64.b64decode(line["payload"]) == crc64.update(0, content).to_bytes(8, "big")
            made += content
        else:
            assert line["payload"] is None
    assert made == data


def test_names_are_written_as_they_are_for_readers_that_know_no_escapes():
    assert '"name":"./näme"'.encode() in Written(archive()).text


def test_metadata_of_pax_records_is_told_as_go_reads_it():
    entry = next(one for one in Written(archive()).contents["entries"] if one["name"] == "./näme")
    assert entry["modtime"] == "2023-11-14T22:13:20.25Z"
    assert entry["accesstime"] == "2023-11-14T22:13:21Z"
    assert entry["xattrs"] == {"user.note": base64.b64encode(b"words").decode()}


def one_entry(name, kind=tarfile.REGTYPE, size=0, twice=False, form=tarfile.PAX_FORMAT, **more):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form, errors="surrogateescape", **more) as tar:
        for _ in range(2 if twice else 1):
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = kind, size
            tar.addfile(entry, io.BytesIO(bytes(size)))
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (one_entry("a", twice=True), "twice"),
        (one_entry(os.fsdecode(b"\xff"), form=tarfile.GNU_FORMAT), "UTF-8"),
        (one_entry("a", pax_headers={"comment": "all"}), "kind b'g'"),
        (one_entry("a", kind=tarfile.CONTTYPE), "kind b'7'"),
    ],
    ids=["twice", "name", "global", "contiguous"],
)
def test_what_a_table_of_contents_can_t_say_is_not_written(data, reason):
    with pytest.raises(NotChunkable, match=reason):
        write_chunked(io.BytesIO(data), lambda _data: None)


def test_the_same_tar_gives_the_same_bytes():
    data = archive()
    assert Written(data).blob == Written(data).blob


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 63, 64, 65, 1000])
def test_a_crc_is_that_of_go_whichever_way_the_data_comes(cut):
    # The check value of CRC-64/GO-ISO in the catalogue of parametrised CRC algorithms.
    assert crc64.update(0, b"123456789") == 0xB90956C775A41001
    data = bytes(range(256)) * 9
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0xD800000000000000 if value & 1 else 0)  # noqa: PLW2901
        table.append(value)
    expected = (1 << 64) - 1
    for byte in data:
        expected = table[(expected ^ byte) & 255] ^ (expected >> 8)
    assert crc64.update(crc64.update(0, data[:cut]), data[cut:]) == expected ^ ((1 << 64) - 1)
    assert chunked.CHUNK_BYTES % (1 << 16) == 0
