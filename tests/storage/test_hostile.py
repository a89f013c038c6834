"""Archives that try to break out, lie or explode. A canary beside the layer must never change."""

from __future__ import annotations

import io
import os
import stat

import pytest

from rootless_pod.errors import Corrupt, HostUnready
from rootless_pod.linux.tree import remove_tree
from rootless_pod.storage.unpack import UnpackLimits, unpack_layer
from tests.storage import tarball as t

HUGE = b"\x80" + (1 << 61).to_bytes(11, "big")


@pytest.fixture
def world(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "canary").write_text("alive")
    (tmp_path / "diff").mkdir()
    yield tmp_path
    remove_tree(str(tmp_path / "diff"))
    assert os.listdir(tmp_path / "outside") == ["canary"]
    assert (tmp_path / "outside" / "canary").read_text() == "alive"
    assert os.stat(tmp_path / "outside" / "canary").st_nlink == 1
    assert sorted(os.listdir(tmp_path)) == ["outside"]


def unpack(world, *members, raw=None, **options):
    stream = io.BytesIO(raw) if raw is not None else t.archive(*members)
    return unpack_layer(stream, str(world / "diff"), single_id=True, **options)


REFUSED = {
    "dot dot": [t.file(b"../outside/evil", b"x")],
    "dot dot behind a directory": [t.directory(b"a"), t.file(b"a/../../outside/evil", b"x")],
    "dot dot in a long name": [t.gnu_long(b"L", b"../outside/" + b"e" * 120), t.file(b"short", b"x")],
    "dot dot in a PAX path": [t.pax([(b"path", b"../outside/evil")]), t.file(b"good", b"x")],
    "dot dot as a directory": [t.directory(b"..", mode=0o777)],
    "whiteout of dot": [t.file(b"a/.wh..")],
    "whiteout of dot dot": [t.file(b"a/.wh...")],
    "whiteout of nothing": [t.file(b".wh.")],
    "whiteout behind dot dot": [t.file(b"../outside/.wh.canary")],
    "hard link out by dot dot": [t.hard_link(b"evil", b"../outside/canary")],
    "hard link out by an absolute name": [t.hard_link(b"evil", b"/etc/passwd")],
    "hard link out through a link": [t.symlink(b"out", b"../outside"), t.hard_link(b"evil", b"out/canary")],
    "hard link to a directory": [t.directory(b"d"), t.hard_link(b"evil", b"d")],
    "hard link to the root": [t.hard_link(b"evil", b"./")],
    "hard link to nothing": [t.hard_link(b"evil", b"nowhere")],
    "hard link that replaces its own target": [t.file(b"d/f", b"x"), t.hard_link(b"d", b"d/f")],
    "links in a circle": [t.symlink(b"a", b"b"), t.symlink(b"b", b"a"), t.file(b"a/x", b"x")],
    "link to itself": [t.symlink(b"a", b"a"), t.file(b"a/x", b"x")],
    "link to nothing": [t.symlink(b"a", b"")],
    "a file as a directory": [t.file(b"f", b"x"), t.file(b"f/x", b"x")],
    "unknown type": [t.header(b"x", b"Z")],
    "multi-volume": [t.header(b"x", b"M")],
    "empty name": [t.header(b"")],
    "NUL in a PAX path": [t.pax([(b"path", b"a\0b")]), t.file(b"x")],
    "negative size": [t.header(b"x", size_field=b"\xff" * 11 + b"\x00")],
    "number that is none": [t.header(b"x", size_field=b"0000000008\0 ")],
    "number with underscores": [t.header(b"x", size_field=b"0_0\0        ")],
    "owner that means no change": [t.header(b"x", uid_field=b"\x80\0\0\0\xff\xff\xff\xff")],
    "owner beyond 32 bits": [t.pax([(b"uid", b"4294967296")]), t.file(b"x")],
    "wrong checksum": [t.header(b"x", checksum=b"000001\0 ")],
    "lone zero block": [bytes(512), t.file(b"x")],
    "name of 5000 bytes": [t.gnu_long(b"L", b"a/" * 2500), t.file(b"x")],
    "component of 300 bytes": [t.gnu_long(b"L", b"a" * 300), t.file(b"x")],
    "PAX record without a length": [t.pax(b"path=x\n"), t.file(b"x")],
    "PAX record that is too long": [t.pax(b"99 path=x\n"), t.file(b"x")],
    "PAX record that ends early": [t.pax(b"5 path=x\n"), t.file(b"x")],
    "PAX record of no length": [t.pax(b"0 path=x\n"), t.file(b"x")],
    "PAX record with a negative length": [t.pax(b"-9 path=x\n"), t.file(b"x")],
    "PAX record with an endless length": [t.pax(b"9" * 5000 + b" path=x\n"), t.file(b"x")],
    "PAX time that is none": [t.pax([(b"mtime", b"yesterday")]), t.file(b"x")],
    "PAX size that is none": [t.pax([(b"size", b"-1")]), t.file(b"x")],
    "PAX header of a gigabyte": [t.header(b"p", b"x", size=1 << 30), t.file(b"x")],
    "PAX header for nothing": [t.pax([(b"path", b"x")])],
    "long name for nothing": [t.gnu_long(b"L", b"x")],
    "sparse spans that overlap": [t.pax([(b"GNU.sparse.size", b"20"), (b"GNU.sparse.map", b"0,4,2,4")]), t.file(b"x", b"12345678")],
    "sparse span beyond the end": [t.pax([(b"GNU.sparse.size", b"5"), (b"GNU.sparse.map", b"0,8")]), t.file(b"x", b"12345678")],
    "sparse map of other data": [t.pax([(b"GNU.sparse.size", b"50"), (b"GNU.sparse.map", b"0,9")]), t.file(b"x", b"12345678")],
    "sparse size without a map": [t.pax([(b"GNU.sparse.realsize", b"4096")]), t.file(b"x", b"12345678")],
    "sparse map that is odd": [t.pax([(b"GNU.sparse.size", b"50"), (b"GNU.sparse.map", b"0,4,9")]), t.file(b"x", b"1234")],
    "sparse 1.0 map without an end": [
        t.pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9")]),
        t.file(b"x", b"9" * 512),
    ],
    "sparse 1.0 map of a billion": [
        t.pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9")]),
        t.file(b"x", b"1000000000\n0\n"),
    ],
    "sparse file of 2**62 bytes": [t.pax([(b"GNU.sparse.size", b"4611686018427387904"), (b"GNU.sparse.map", b"0,4")]), t.file(b"x", b"1234")],
}  # fmt: skip


@pytest.mark.parametrize("members", REFUSED.values(), ids=REFUSED)
def test_a_hostile_archive_is_corrupt_and_nothing_outside_changes(world, members):
    with pytest.raises(Corrupt):
        unpack(world, *members)


GOOD = t.file(b"a", b"x" * 1000) + t.file(b"b", b"y")


@pytest.mark.parametrize("length", [1, 100, 511, 513, 700, 1535, 1537, 2048, 2049])
def test_an_archive_that_is_cut_off_is_corrupt(world, length):
    with pytest.raises(Corrupt, match="cut off"):
        unpack(world, raw=GOOD[:length])


def test_an_archive_may_end_without_zero_blocks(world):
    assert unpack(world, raw=GOOD).entries == 2
    assert unpack(world, raw=GOOD[:1536]).entries == 1
    assert unpack(world, raw=b"").entries == 0


def test_a_file_of_two_exbibytes_is_refused_before_the_disk_is_full(world):
    with pytest.raises(HostUnready, match="disk full"):
        unpack(world, t.header(b"x", size_field=HUGE))


def test_an_absolute_name_counts_from_the_root_of_the_layer(world):
    unpack(world, t.file(b"/etc/evil", b"x"), t.file(b"//abs", b"y"))
    assert (world / "diff/etc/evil").read_text() == "x"
    assert (world / "diff/abs").read_text() == "y"


@pytest.mark.parametrize("target", [b"../outside", b"../../../../../../../..", b"/outside"])
def test_a_planted_link_leads_to_a_place_of_the_same_layer(world, target):
    unpack(world, t.symlink(b"out", target), t.file(b"out/evil", b"x"))
    landed = world / "diff" / target.decode().replace("../", "").replace("..", "").strip("/") / "evil"
    assert landed.read_text() == "x"


def test_a_planted_absolute_link_to_the_canary_leads_inside(world):
    outside = str(world / "outside").encode()
    unpack(world, t.symlink(b"out", outside), t.file(b"out/canary", b"x"))
    assert (world / "diff" / outside.decode().lstrip("/") / "canary").read_text() == "x"


def test_a_chain_of_links_with_dot_dot_stays_inside(world):
    unpack(
        world,
        t.directory(b"a/b"),
        t.symlink(b"a/b/up", b"../../.."),
        t.symlink(b"l", b"a/b/up/outside"),
        t.file(b"l/canary", b"x"),
    )
    assert (world / "diff/outside/canary").read_text() == "x"


def test_a_file_replaces_a_link_instead_of_writing_through_it(world):
    unpack(world, t.symlink(b"f", b"../outside/canary"), t.file(b"f", b"evil"))
    assert not (world / "diff/f").is_symlink()
    assert (world / "diff/f").read_text() == "evil"


def test_a_file_replaces_a_hard_link_instead_of_writing_through_it(world):
    unpack(world, t.file(b"a", b"one"), t.hard_link(b"b", b"a"), t.file(b"b", b"two"))
    assert (world / "diff/a").read_text() == "one"


def test_a_hard_link_to_a_link_is_the_link_and_not_what_it_points_to(world):
    unpack(world, t.symlink(b"s", b"../outside/canary"), t.hard_link(b"h", b"s"))
    assert os.readlink(world / "diff/h") == "../outside/canary"


def test_a_directory_replaces_a_link_and_takes_its_own_mode(world):
    unpack(world, t.symlink(b"out", b"../outside"), t.directory(b"out", mode=0o700), t.file(b"out/evil", b"x"))
    assert stat.S_IMODE(os.lstat(world / "diff/out").st_mode) == 0o700
    assert (world / "diff/out/evil").read_text() == "x"


def test_a_link_that_changes_after_use_leads_to_the_new_place(world):
    unpack(
        world,
        t.directory(b"one"), t.directory(b"two"),
        t.symlink(b"l", b"one"), t.file(b"l/x", b"1"), t.symlink(b"l", b"two"), t.file(b"l/x", b"2"),
    )  # fmt: skip
    assert ((world / "diff/one/x").read_text(), (world / "diff/two/x").read_text()) == ("1", "2")


def test_a_directory_that_becomes_a_link_is_not_remembered_as_a_directory(world):
    unpack(world, t.directory(b"d"), t.file(b"d/a", b"1"), t.symlink(b"d", b"../outside"), t.file(b"d/canary", b"x"))
    assert (world / "diff/outside/canary").read_text() == "x"


def test_a_file_that_becomes_a_directory_and_back_is_what_it_was_last(world):
    unpack(world, t.file(b"n", b"1"), t.directory(b"n"), t.file(b"n/x", b"2"), t.file(b"n", b"3"))
    assert (world / "diff/n").read_text() == "3"


def test_device_nodes_are_skipped_and_reported(world):
    found = unpack(world, t.header(b"null", b"3"), t.header(b"disk", b"4"), t.file(b"after", b"x"))
    assert sorted(os.listdir(world / "diff")) == ["after"]
    assert len(found.skipped) == 2


def test_a_device_0_0_is_no_way_to_smuggle_a_whiteout_in(world):
    unpack(world, t.header(b"etc", b"3"))
    assert os.listdir(world / "diff") == []


@pytest.mark.parametrize(
    "name", [b"user.overlay.opaque", b"user.overlay.redirect", b"trusted.overlay.opaque", b"user.rootlesscontainers", b"user.fuseoverlayfs.opaque", b"security.selinux"]
)  # fmt: skip
def test_attributes_of_storage_drivers_are_not_taken_from_an_archive(world, name):
    found = unpack(world, t.pax([(b"SCHILY.xattr." + name, b"y")]), t.directory(b"d"))
    assert os.listxattr(world / "diff/d") == []
    assert len(found.skipped) == 1


def test_a_file_named_like_a_whiteout_below_a_directory_named_like_one_is_bookkeeping(world):
    unpack(world, t.file(b".wh..wh.plnk/1.2", b"x"), t.file(b".wh..wh.aufs"), t.file(b"ok"))
    assert os.listdir(world / "diff") in (["ok"], ["ok", ".wh..wh.plnk"], [".wh..wh.plnk", "ok"])


def test_size_in_a_pax_record_counts_for_finding_the_next_header(world):
    # Source: the parser difference known as TARmageddon (CVE-2025-62518): a nested archive must stay data.
    nested = t.file(b"smuggled", b"evil")
    unpack(
        world,
        t.pax([(b"size", b"%d" % len(nested))]),
        t.header(b"inner.tar", size=0),
        t.pad(nested),
        t.file(b"next", b"x"),
    )
    assert sorted(os.listdir(world / "diff")) == ["inner.tar", "next"]
    assert (world / "diff/inner.tar").read_bytes() == nested


def test_a_setuid_bit_of_a_link_does_not_reach_its_target(world):
    (world / "outside" / "canary").chmod(0o644)
    unpack(world, t.symlink(b"s", b"../outside/canary", mode=0o4777))
    assert stat.S_IMODE(os.stat(world / "outside/canary").st_mode) == 0o644


def test_a_directory_nobody_may_enter_is_filled_all_the_same(world):
    unpack(world, t.directory(b"d", mode=0), t.file(b"d/x", b"x"))
    assert stat.S_IMODE(os.lstat(world / "diff/d").st_mode) == 0


def test_two_thousand_directories_in_each_other_can_be_made_and_removed(world):
    unpack(world, t.gnu_long(b"L", b"a/" * 2040 + b"f"), t.file(b"x", b"x"))
    remove_tree(str(world / "diff"))
    assert not (world / "diff").exists()


def test_more_directories_than_descriptors_do_not_run_out_of_them(world):
    members = [t.file(b"%d/%d/f" % (number, number), b"x") for number in range(1500)]
    assert unpack(world, *members).entries == 1500


def test_more_entries_than_allowed_are_refused(world):
    with pytest.raises(Corrupt, match="more than 3 entries"):
        unpack(world, *[t.file(b"%d" % number) for number in range(4)], limits=UnpackLimits(entries=3))


def test_a_layer_that_would_fill_the_disk_is_refused_with_a_remedy(world):
    with pytest.raises(HostUnready, match="disk full") as refusal:
        unpack(world, t.file(b"x"), limits=UnpackLimits(min_free_bytes=1 << 62))
    assert "--root" in refusal.value.remedy


def test_a_sparse_file_of_a_terabyte_takes_no_space(world):
    unpack(world, t.pax([(b"GNU.sparse.size", b"1099511627776"), (b"GNU.sparse.map", b"8,4")]), t.file(b"x", b"1234"))
    found = os.stat(world / "diff/x")
    assert (found.st_size, found.st_blocks * 512 < 1 << 20) == (1 << 40, True)


@pytest.mark.parametrize("seconds", [b"99999999999999999999", b"-99999999999999999999", b"-1.5", b"0.000000001"])
def test_times_far_away_do_no_harm(world, seconds):
    unpack(world, t.pax([(b"mtime", seconds)]), t.file(b"x"), t.pax([(b"mtime", seconds)]), t.directory(b"d"))
    assert sorted(os.listdir(world / "diff")) == ["d", "x"]


def test_a_base_256_time_far_away_does_no_harm(world):
    unpack(
        world, t.header(b"x", mtime_field=b"\x80" + b"\x7f" * 11), t.header(b"y", mtime_field=b"\xff" + b"\x00" * 11)
    )
    assert sorted(os.listdir(world / "diff")) == ["x", "y"]


def test_a_broken_archive_that_dribbles_in_is_found_out_as_well(world):
    with pytest.raises(Corrupt):
        unpack_layer(t.Dribble(GOOD[:700]), str(world / "diff"), single_id=True)
