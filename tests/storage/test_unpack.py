"""What becomes of the entries of an honest layer."""

from __future__ import annotations

import hashlib
import os
import stat

import pytest

from rootless_pod.errors import Corrupt
from rootless_pod.fuse import whiteout
from rootless_pod.storage.owners import decode_owner, encode_owner, portable_capability
from rootless_pod.storage.unpack import unpack_layer
from tests.storage import tarball as t


@pytest.fixture
def diff(tmp_path):
    (tmp_path / "diff").mkdir()
    return tmp_path / "diff"


def unpack(diff, *members, **options):
    return unpack_layer(t.archive(*members), str(diff), single_id=True, **options)


def is_whiteout(path):
    return whiteout.is_whiteout(os.lstat(path))


def test_the_diff_id_covers_all_bytes_also_those_behind_the_end(diff):
    data = t.file(b"a", b"x") + t.END + b"tail" * 3000
    assert (
        unpack_layer(t.Dribble(data), str(diff), single_id=True).diff_id == "sha256:" + hashlib.sha256(data).hexdigest()
    )


def test_the_result_counts_entries_and_bytes_of_files(diff):
    found = unpack(diff, t.directory(b"d"), t.file(b"d/a", b"12345"), t.file(b"b", b"1"), t.symlink(b"l", b"b"))
    assert (found.entries, found.size_bytes, found.opaque_root, found.skipped) == (4, 6, False, ())


def test_modes_are_kept_whatever_the_umask_and_the_setgid_bit_around(diff):
    before = os.umask(0o077)
    try:
        unpack(
            diff, t.directory(b"d", mode=0o2777), t.file(b"d/x", b"1", mode=0o6751), t.header(b"d/p", b"6", mode=0o1666)
        )
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert [stat.S_IMODE(os.lstat(diff / name).st_mode) for name in ("d", "d/x", "d/p")] == [0o2777, 0o6751, 0o1666]
    assert os.lstat(diff / "d/x").st_gid == os.getegid()


def test_times_are_kept_to_the_nanosecond_also_of_directories_that_are_filled_later(diff):
    moment = [(b"mtime", b"1600000000.123456789")]
    unpack(
        diff,
        t.pax(moment), t.directory(b"d"),
        t.pax(moment), t.file(b"d/x", b"1"), t.pax(moment), t.symlink(b"d/l", b"x"), t.file(b"d/late"),
    )  # fmt: skip
    for name in ("d", "d/x", "d/l"):
        assert os.lstat(diff / name).st_mtime_ns == 1_600_000_000_123_456_789


def test_an_entry_for_the_root_sets_the_root(diff):
    unpack(diff, t.directory(b"./", mode=0o711, mtime=5), t.file(b"x"))
    found = os.lstat(diff)
    assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o711, 5)


def test_implied_directories_are_0755(diff):
    unpack(diff, t.file(b"a/b/c", b"1"))
    assert {stat.S_IMODE(os.lstat(diff / name).st_mode) for name in ("a", "a/b")} == {0o755}


def test_implied_directories_look_like_those_of_the_layer_below(diff, tmp_path):
    lower = tmp_path / "lower"
    (lower / "tmp").mkdir(parents=True)
    (lower / "tmp").chmod(0o1777)
    os.utime(lower / "tmp", (7, 7))
    unpack(diff, t.file(b"tmp/x", b"1"), lower_dirs=(str(lower),))
    found = os.lstat(diff / "tmp")
    assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o1777, 7)


def test_a_whited_out_directory_below_lends_nothing(diff, tmp_path):
    middle, bottom = tmp_path / "middle", tmp_path / "bottom"
    (bottom / "tmp").mkdir(parents=True)
    (bottom / "tmp").chmod(0o1777)
    middle.mkdir()
    os.mknod(middle / "tmp", stat.S_IFCHR)
    unpack(diff, t.file(b"tmp/x", b"1"), lower_dirs=(str(middle), str(bottom)))
    assert stat.S_IMODE(os.lstat(diff / "tmp").st_mode) == 0o755


def test_a_link_of_a_layer_below_is_not_followed(diff, tmp_path):
    lower = tmp_path / "lower"
    (lower / "usr/lib").mkdir(parents=True)
    os.symlink("usr/lib", lower / "lib")
    unpack(diff, t.file(b"lib/x", b"1"), lower_dirs=(str(lower),))
    assert os.listdir(diff) == ["lib"]
    assert (diff / "lib").is_dir()


def test_whiteouts_become_those_of_overlayfs(diff):
    unpack(diff, t.file(b"gone/.wh.a"), t.file(b".wh.b"))
    assert is_whiteout(diff / "gone/a")
    assert is_whiteout(diff / "b")
    assert sorted(os.listdir(diff)) == ["b", "gone"]


def test_an_opaque_directory_gets_the_mark_of_overlayfs(diff):
    found = unpack(diff, t.directory(b"d"), t.file(b"d/x", b"1"), t.file(b"d/.wh..wh..opq"))
    assert os.getxattr(diff / "d", "user.overlay.opaque") == b"y"
    assert os.listdir(diff / "d") == ["x"]
    assert not found.opaque_root


def test_an_opaque_root_is_reported(diff):
    assert unpack(diff, t.file(b".wh..wh..opq")).opaque_root


def test_a_whiteout_does_not_hide_a_file_of_its_own_layer(diff):
    unpack(diff, t.file(b"x", b"mine"), t.file(b".wh.x"))
    assert (diff / "x").read_text() == "mine"


def test_a_file_after_its_whiteout_replaces_it(diff):
    unpack(diff, t.file(b".wh.x"), t.file(b"x", b"mine"))
    assert (diff / "x").read_text() == "mine"


@pytest.mark.parametrize("order", [1, -1])
def test_a_directory_with_a_whiteout_of_the_same_name_is_opaque(diff, order):
    unpack(diff, *[t.file(b".wh.d"), t.directory(b"d")][::order], t.file(b"d/x", b"1"))
    assert os.getxattr(diff / "d", "user.overlay.opaque") == b"y"
    assert (diff / "d/x").read_text() == "1"


def test_a_file_below_a_whiteout_is_in_a_new_directory_that_shows_nothing_of_the_layers_below(diff, tmp_path):
    """As podman 4.3 has it, with mode and owner of nobody but root."""
    lower = tmp_path / "lower"
    (lower / "d").mkdir(parents=True, mode=0o700)
    unpack(diff, t.file(b".wh.d"), t.file(b"d/deep/x", b"1"), lower_dirs=(str(lower),))
    assert os.getxattr(diff / "d", "user.overlay.opaque") == b"y"
    assert stat.S_IMODE(os.lstat(diff / "d").st_mode) == 0o755
    assert (diff / "d/deep/x").read_text() == "1"


def test_the_last_entry_of_a_directory_is_the_one_that_counts_also_for_its_owner(diff, tmp_path):
    lower = tmp_path / "lower"
    (lower / "below").mkdir(parents=True)
    os.setxattr(lower / "below", "user.rootlesscontainers", encode_owner(5, 5))
    os.setxattr(lower / "below", "user.note", b"low")
    unpack(
        diff,
        t.directory(b"./", uid=5), t.directory(b"twice", uid=5, gid=6), t.directory(b"./"), t.directory(b"twice"),
        t.file(b"below/x", b"1"), t.directory(b"below", mode=0o711),
        lower_dirs=(str(lower),),
    )  # fmt: skip
    assert [os.listxattr(diff / name) for name in (".", "twice", "below")] == [[], [], []]
    assert stat.S_IMODE(os.lstat(diff / "below").st_mode) == 0o711


def test_hard_links_share_one_file(diff):
    unpack(
        diff, t.file(b"a/x", b"1"), t.hard_link(b"b/y", b"a/x"), t.hard_link(b"z", b"./a/x"), t.hard_link(b"z", b"z")
    )
    assert os.path.samefile(diff / "a/x", diff / "b/y")
    assert os.lstat(diff / "z").st_nlink == 3


def test_a_hard_link_written_twice_is_one(diff):
    unpack(diff, t.file(b"a", b"1"), t.hard_link(b"b", b"a"), t.hard_link(b"b", b"a"))
    assert os.lstat(diff / "a").st_nlink == 2


def test_a_hard_link_to_a_file_of_a_layer_below_brings_it_up_with_all_it_has(diff, tmp_path):
    lower = tmp_path / "lower"
    (lower / "bin").mkdir(parents=True)
    (lower / "bin/tool").write_bytes(b"x" * 3_000_000)
    os.setxattr(lower / "bin/tool", "user.note", b"kept")
    (lower / "bin/tool").chmod(0o4755)
    os.utime(lower / "bin/tool", ns=(5, 123_000_000_007))
    found = unpack(diff, t.hard_link(b"bin/alias", b"bin/tool"), lower_dirs=(str(lower),))
    assert os.path.samefile(diff / "bin/alias", diff / "bin/tool")
    status = os.lstat(diff / "bin/alias")
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns, status.st_size) == (0o4755, 123_000_000_007, 3_000_000)
    assert os.getxattr(diff / "bin/alias", "user.note") == b"kept"
    assert found.size_bytes == 3_000_000
    assert os.lstat(lower / "bin/tool").st_nlink == 1


def test_attributes_of_users_are_kept(diff):
    xattrs = [(b"SCHILY.xattr.user.a", b"\0\1\n="), (b"SCHILY.xattr.user.b", b"")]
    unpack(diff, t.pax(xattrs), t.file(b"x", b"1"), t.pax(xattrs), t.directory(b"d"))
    for name in ("x", "d"):
        assert os.getxattr(diff / name, "user.a") == b"\0\1\n="
        assert os.getxattr(diff / name, "user.b") == b""


def test_with_a_single_id_the_owner_wanted_is_kept_in_an_attribute(diff):
    unpack(
        diff,
        t.file(b"x", b"1", uid=33, gid=42, mode=0o4755), t.directory(b"d", uid=1000, gid=0),
        t.file(b"root", b"1"), t.symlink(b"l", b"x", uid=9, gid=9),
    )  # fmt: skip
    # Source: umoci 0.4.7 writes these bytes for the same owners (protobuf: field 1 uid, field 2 gid).
    assert os.getxattr(diff / "x", "user.rootlesscontainers") == b"\x08\x21\x10\x2a"
    assert os.getxattr(diff / "d", "user.rootlesscontainers") == b"\x08\xe8\x07\x10\xff\xff\xff\xff\x0f"
    assert "user.rootlesscontainers" not in os.listxattr(diff / "root")
    found = os.lstat(diff / "x")
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (os.geteuid(), os.getegid(), 0o4755)


@pytest.mark.parametrize("owner", [(0, 0), (1, 0), (0, 1), (127, 128), (65534, 65534), (2**32 - 2, 2**32 - 2)])
def test_an_owner_survives_its_encoding(owner):
    assert decode_owner(encode_owner(*owner)) == owner


def test_an_owner_field_that_is_absent_is_root():
    assert decode_owner(b"\x08\x21") == (33, 0)
    assert decode_owner(b"") == (0, 0)


@pytest.mark.parametrize(
    "value", [b"\x08", b"\x08\x80", b"\x0a\x01x", b"\x08" + b"\xff" * 12, b"\x08\xff\xff\xff\xff\xff\x0f"]
)
def test_an_owner_that_is_no_such_message_is_corrupt(value):
    with pytest.raises(Corrupt):
        decode_owner(value)


def test_capabilities_of_another_namespace_become_those_of_none():
    # Source: linux/capability.h: revision in the top byte of a little-endian word; rootid is the sixth word.
    v3 = (0x03000001).to_bytes(4, "little") + bytes(range(16)) + (100_000).to_bytes(4, "little")
    assert portable_capability(v3) == (0x02000001).to_bytes(4, "little") + bytes(range(16))
    v2 = portable_capability(v3)
    assert portable_capability(v2) == v2
