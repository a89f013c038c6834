"""Compressed streams: what is read, what is refused."""

from __future__ import annotations

import contextlib
import gzip
import io
import random
import subprocess
import zlib

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless_pod.errors import Corrupt, HostUnready, TimedOut
from rootless_pod.storage.compress import BombLimits, detect_compression, new_compressor, open_compressed
from tests.storage import tarball as t

NOISE = random.Random(1).randbytes(300_000)
TEXT = b"a line that repeats itself\n" * 50_000
SKIPPABLE = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"extra"


def read_all(data, *, step=None, **options):
    stream = open_compressed(t.Dribble(data, step) if step else io.BytesIO(data), **options)
    parts = []
    while part := stream.read(100_000):
        assert len(part) <= 100_000
        parts.append(part)
    assert stream.read(10) == b""
    return b"".join(parts)


STREAMS = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip in members": lambda data: gzip.compress(data[:1000]) + gzip.compress(b"") + gzip.compress(data[1000:]),
    "gzip padded": lambda data: gzip.compress(data) + bytes(5000),
    "zstd": zstd.compress,
    "zstd in frames": lambda data: zstd.compress(data[:1000]) + zstd.compress(b"") + zstd.compress(data[1000:]),
    "zstd with skippable frames": lambda data: SKIPPABLE + zstd.compress(data) + SKIPPABLE,
}


@pytest.mark.parametrize("step", [None, 1500, 7])
@pytest.mark.parametrize("data", [NOISE, TEXT, b"short"], ids=["noise", "text", "short"])
@pytest.mark.parametrize("pack", STREAMS.values(), ids=STREAMS)
def test_a_stream_is_read_whatever_it_is_packed_with(pack, data, step):
    assert read_all(pack(data), step=step) == data


@pytest.mark.parametrize("data", [b"", b"a"])
def test_a_tiny_plain_stream_is_read(data):
    assert read_all(data) == data


def test_what_the_media_type_says_does_not_matter():
    assert read_all(gzip.compress(TEXT), media_type="application/vnd.oci.image.layer.v1.tar+zstd") == TEXT


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
@pytest.mark.parametrize("cut", [1, 4, 8, 1000])
def test_a_stream_that_is_cut_off_is_corrupt(pack, cut):
    with pytest.raises(Corrupt):
        read_all(pack(NOISE)[:-cut])


@pytest.mark.parametrize(
    "pack", [gzip.compress, lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})]
)
def test_a_flipped_byte_is_corrupt(pack):
    data = bytearray(pack(NOISE))
    data[len(data) // 2] ^= 1
    with pytest.raises(Corrupt):
        read_all(bytes(data))


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
@pytest.mark.parametrize("tail", [b"garbage", b"x", bytes(600) + b"x"])
def test_bytes_behind_the_stream_are_corrupt(pack, tail):
    with pytest.raises(Corrupt, match="followed by other bytes"):
        read_all(pack(TEXT) + tail)


@pytest.mark.parametrize(("magic", "name"), [(b"\xfd7zXZ\0", "xz"), (b"BZh91AY", "bzip2")])
def test_other_compressions_are_named(magic, name):
    with pytest.raises(Corrupt, match=name):
        detect_compression(magic)


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_bomb_is_stopped_before_it_has_gone_off(pack):
    bomb = pack(bytes(60_000_000))
    with pytest.raises(Corrupt, match="bomb"):
        read_all(bomb, limits=BombLimits(ratio=50, free_bytes=1_000_000))


def test_a_zstd_bomb_is_never_held_in_memory_as_a_whole():
    stream = open_compressed(io.BytesIO(zstd.compress(bytes(200_000_000))))
    assert len(stream.read(1 << 30)) <= 1 << 20


def test_a_layer_of_zero_bytes_below_the_free_amount_is_no_bomb():
    assert read_all(gzip.compress(bytes(3_000_000)), limits=BombLimits(ratio=5)) == bytes(3_000_000)


@pytest.mark.parametrize("kind", ["gzip", "zstd", "none"])
def test_what_is_written_is_read_and_the_same_bytes_come_out_twice(kind):
    outputs = []
    for _time in range(2):
        compressor = new_compressor(kind)
        outputs.append(compressor.compress(TEXT[:777]) + compressor.compress(TEXT[777:]) + compressor.flush())
    assert outputs[0] == outputs[1]
    assert detect_compression(outputs[0]) == kind
    assert read_all(outputs[0]) == TEXT


@pytest.mark.parametrize("kind", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("fault", [HostUnready("no space left"), TimedOut("the registry is silent")])
def test_a_failure_of_the_reader_below_is_not_taken_for_damage(kind, fault):
    class Failing(io.BytesIO):
        def read(self, size=-1):
            data = super().read(min(size, 4096) if size >= 0 else 4096)
            if not data:
                raise fault
            return data

    compressor = new_compressor(kind)
    packed = compressor.compress(NOISE) + compressor.flush()
    stream = open_compressed(Failing(packed[: len(packed) // 2]))
    with pytest.raises(type(fault)):
        while stream.read(1 << 16):
            pass


def test_gzip_reads_what_we_write():
    compressor = new_compressor("gzip")
    packed = compressor.compress(TEXT) + compressor.flush()
    assert subprocess.run(["gzip", "-dc"], input=packed, capture_output=True, check=True, timeout=30).stdout == TEXT
    assert zlib.decompress(packed, 31) == TEXT


@settings(max_examples=150, deadline=None, database=None)
@given(st.sampled_from([b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"]), st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_as_corrupt(magic, tail):
    with contextlib.suppress(Corrupt):
        read_all(magic + tail)
