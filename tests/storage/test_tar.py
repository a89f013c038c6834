"""The tar reader against GNU tar and the standard library's writer, and against noise."""

from __future__ import annotations

import contextlib
import io
import os
import random
import subprocess
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless_pod.errors import Corrupt
from rootless_pod.linux.tree import remove_tree
from rootless_pod.storage.tar import TarReader, parse_number
from rootless_pod.storage.unpack import unpack_layer
from tests.storage import tarball as t


def content(reader):
    parts = []
    while part := reader.read(100_000):
        parts.append(bytes(part))
    return b"".join(parts)


def entries(data, step=None):
    reader = TarReader(t.Dribble(data, step) if step else io.BytesIO(data))
    found = []
    while (entry := reader.next()) is not None:
        found.append((entry, content(reader)))
    return found


def plant(top):
    """Make a tree with every kind an unprivileged user can make."""
    rng = random.Random(7)
    os.makedirs(f"{top}/sub/deep")
    os.chmod(f"{top}/sub", 0o2750)
    for name, size in (("empty", 0), ("one", 1), ("block", 512), ("more", 513), ("big", 700_001), ("sub/deep/x", 5)):
        with open(f"{top}/{name}", "wb") as file:
            file.write(rng.randbytes(size))
    with open(f"{top}/" + "n" * 90, "wb") as file:
        file.write(b"long")
    with open(f"{top}/sub/sparse", "wb") as file:
        file.seek(300_000)
        file.write(b"middle")
        file.truncate(900_000)
    os.chmod(f"{top}/one", 0o4711)
    os.symlink("one", f"{top}/link")
    os.symlink("/a/" + "very/" * 30 + "long/target", f"{top}/longlink")
    os.link(f"{top}/big", f"{top}/sub/big-again")
    os.mkfifo(f"{top}/fifo", 0o640)
    for path in (f"{top}/block", f"{top}/link", f"{top}/sub/deep", f"{top}/sub", top):
        os.utime(path, ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789), follow_symlinks=False)


@pytest.mark.parametrize(
    "options",
    [
        ["--format=ustar"],
        ["--format=gnu"],
        ["--format=gnu", "--sparse"],
        ["--format=posix"],
        ["--format=posix", "--sparse", "--sparse-version=0.0"],
        ["--format=posix", "--sparse", "--sparse-version=0.1"],
        ["--format=posix", "--sparse", "--sparse-version=1.0"],
    ],
    ids=" ".join,
)
def test_what_gnu_tar_writes_is_unpacked_so_that_gnu_tar_sees_no_difference(tmp_path, options):
    plant(str(tmp_path / "source"))
    if "--format=ustar" in options:
        os.unlink(tmp_path / "source/longlink")  # that format has no place for it
    (tmp_path / "diff").mkdir()
    made = f"{tmp_path}/made.tar"
    subprocess.run(["tar", "-C", tmp_path / "source", *options, "-cf", made, "."], check=True, timeout=60)
    with open(made, "rb", buffering=0) as file:
        unpack_layer(file, str(tmp_path / "diff"), single_id=True)
    compared = subprocess.run(
        ["tar", "-C", tmp_path / "diff", "--compare", "-f", made],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (compared.stdout, compared.stderr, compared.returncode) == ("", "", 0)
    ours, theirs = os.stat(tmp_path / "diff/sub/sparse"), os.stat(tmp_path / "source/sub/sparse")
    assert ours.st_size == theirs.st_size
    if "--sparse" in options:
        assert ours.st_blocks <= theirs.st_blocks
    remove_tree(str(tmp_path / "diff"))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("step", [None, 1, 511, 513])
def test_what_the_standard_library_writes_is_read(form, step):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=form) as archive:
        for name, data in (("a", b"1"), ("d/" * 40 + "file", b"22" * 600), ("l" * 99, b""), ("é", "é".encode())):
            made = tarfile.TarInfo(name)
            made.size, made.mtime, made.uid, made.gid, made.mode = len(data), 12345, 70_000, 5, 0o755
            archive.addfile(made, io.BytesIO(data))
    found = entries(sink.getvalue(), step)
    assert [data for _entry, data in found] == [b"1", b"22" * 600, b"", "é".encode()]
    assert [entry.name for entry, _data in found][:3] == [b"a", b"d/" * 40 + b"file", b"l" * 99]
    assert {(entry.uid, entry.gid, entry.mode, entry.mtime_ns) for entry, _data in found} == {
        (70_000, 5, 0o755, 12345 * 10**9)
    }


def test_names_and_links_of_any_length_come_through_gnu_and_pax_headers():
    name, link = b"n" * 300, b"l/" * 400
    for extension in (
        [t.gnu_long(b"L", name), t.gnu_long(b"K", link)],
        [t.pax([(b"path", name), (b"linkpath", link)])],
    ):
        ((entry, _data),) = entries(b"".join([*extension, t.symlink(b"short", b"x"), t.END]))
        assert (entry.name, entry.link) == (name, link)


def test_a_pax_record_counts_for_one_entry_only():
    found = entries(b"".join([t.pax([(b"uid", b"7")]), t.file(b"a"), t.file(b"b"), t.END]))
    assert [entry.uid for entry, _data in found] == [7, 0]


def test_global_pax_records_are_passed_over_as_in_every_go_tool():
    found = entries(b"".join([t.pax([(b"uid", b"7"), (b"path", b"evil")], b"g"), t.file(b"a"), t.END]))
    assert [(entry.name, entry.uid) for entry, _data in found] == [(b"a", 0)]


def test_the_name_of_old_v7_archives_with_a_slash_is_a_directory():
    ((entry, _data),) = entries(t.header(b"dir/", b"\0", magic=b"\0" * 8) + t.END)
    assert entry.kind == b"5"


def test_a_checksum_of_signed_bytes_is_taken():
    block = bytearray(t.header("é".encode()))
    block[148:156] = b" " * 8
    signed = sum(byte - 256 if byte > 127 else byte for byte in block)
    block[148:156] = b"%06o\0 " % signed
    assert entries(bytes(block) + t.END)[0][0].name == "é".encode()


@pytest.mark.parametrize(
    ("field", "number"),
    [
        (b"0000644\0", 0o644),
        (b"   644 \0", 0o644),
        (b"\0" * 8, 0),
        (b"        ", 0),
        (b"\x80" + (123456789).to_bytes(7, "big"), 123456789),
        (b"\xff" * 8, -1),
        (b"\xff" + (-5).to_bytes(11, "big", signed=True), -5),
    ],
)
def test_numbers_are_octal_or_base_256(field, number):
    assert parse_number(field) == number


def test_data_that_is_not_read_is_passed_over():
    reader = TarReader(t.Dribble(b"".join([t.file(b"a", b"x" * 5000), t.file(b"b", b"y"), t.END])))
    assert reader.next().name == b"a"
    assert len(reader.read(3)) <= 3
    assert reader.next().name == b"b"
    assert bytes(reader.read(9)) == b"y"
    assert reader.next() is None


members = st.lists(
    st.one_of(
        st.binary(max_size=600),
        st.builds(t.file, st.binary(min_size=1, max_size=40), st.binary(max_size=600)),
        st.builds(t.pax, st.binary(max_size=200)),
        st.builds(t.pax, st.lists(st.tuples(
            st.sampled_from([b"path", b"size", b"uid", b"mtime", b"GNU.sparse.map", b"GNU.sparse.major", b"GNU.sparse.size"]),
            st.binary(max_size=12)), max_size=3)),
        st.builds(t.header, st.binary(max_size=20), st.binary(min_size=1, max_size=1),
                  size=st.integers(0, 2000), tail=st.binary(max_size=160)),
    ),
    max_size=5,
)  # fmt: skip


@settings(max_examples=400, deadline=None, database=None)
@given(members, st.binary(max_size=1200))
def test_any_bytes_are_read_or_refused_as_corrupt(parts, end):
    with contextlib.suppress(Corrupt):
        entries(b"".join(parts) + end)


@settings(max_examples=200, deadline=None, database=None)
@given(st.data())
def test_one_flipped_byte_is_read_or_refused_as_corrupt(data):
    good = bytearray(
        b"".join([t.pax([(b"path", b"abc"), (b"size", b"9")]), t.file(b"x", b"123456789"), t.directory(b"d/"), t.END])
    )
    position = data.draw(st.integers(0, len(good) - 1))
    good[position] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Corrupt):
        entries(bytes(good))
