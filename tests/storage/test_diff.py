"""Layers written from upper directories and trees, and what comes back from them."""

from __future__ import annotations

import io
import os
import socket
import stat
import subprocess
import tarfile

import pytest

from rootless_pod.linux.tree import remove_tree
from rootless_pod.storage.diff import write_layer
from rootless_pod.storage.owners import encode_owner
from rootless_pod.storage.unpack import unpack_layer
from tests.storage import tarball as t
from tests.storage.test_tar import plant


def layer_of(tree, *, is_upper=True, **options):
    sink = io.BytesIO()
    result = write_layer(sink.write, str(tree), is_upper=is_upper, **options)
    return sink.getvalue(), result


def names(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


@pytest.fixture
def upper(tmp_path):
    (tmp_path / "upper").mkdir(mode=0o755)
    # Whoever runs this, the root of the tree belongs to the container's root.
    os.setxattr(tmp_path / "upper", "user.rootlesscontainers", encode_owner(0, 0))
    yield tmp_path / "upper"
    remove_tree(str(tmp_path / "upper"))


def test_whiteouts_and_opaque_directories_get_their_names_of_the_spec(upper):
    os.mknod(upper / "gone", stat.S_IFCHR)
    (upper / "d").mkdir()
    os.setxattr(upper / "d", "user.overlay.opaque", b"y")
    (upper / "d/x").write_text("1")
    data, result = layer_of(upper)
    assert names(data) == ["d", "d/.wh..wh..opq", "d/x", ".wh.gone"]
    assert result.entries == 4


def test_plain_whiteouts_of_fuse_overlayfs_go_through(upper):
    (upper / ".wh.gone").write_text("")
    (upper / "d").mkdir()
    (upper / "d/.wh..wh..opq").write_text("")
    assert names(layer_of(upper)[0]) == [".wh.gone", "d", "d/.wh..wh..opq"]


def test_a_layer_unpacked_and_written_again_has_the_same_bytes(upper, tmp_path):
    plant(str(upper / "tree"))
    os.setxattr(upper / "tree/block", "user.note", b"x\0y")
    os.mknod(upper / "gone", stat.S_IFCHR)
    first, result = layer_of(upper)
    again = tmp_path / "again"
    again.mkdir(mode=0o755)
    os.setxattr(again, "user.rootlesscontainers", encode_owner(0, 0))
    unpacked = unpack_layer(io.BytesIO(first), str(again), single_id=True)
    assert unpacked.diff_id == result.diff_id
    second, _result = layer_of(again)
    remove_tree(str(again))
    assert first == second


def test_gnu_tar_sees_no_difference_between_the_tree_and_its_layer(upper):
    plant(str(upper / "tree"))
    data, _result = layer_of(upper, is_upper=False)
    done = subprocess.run(
        ["tar", "-C", upper, "--compare", "-f", "-"], input=data, capture_output=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)


def test_hard_links_are_written_once(upper):
    (upper / "a").write_text("x" * 5000)
    os.link(upper / "a", upper / "b")
    data, _result = layer_of(upper)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert [(member.name, member.type, member.linkname) for member in archive] == [
            ("a", b"0", ""),
            ("b", b"1", "a"),
        ]


def test_owners_of_single_id_mode_go_into_the_layer(upper, tmp_path):
    unpack_layer(
        t.archive(t.file(b"x", b"1", uid=33, gid=42), t.directory(b"d", uid=7, gid=0)), str(upper), single_id=True
    )
    data, _result = layer_of(upper)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {member.name: (member.uid, member.gid) for member in archive}
        assert all("rootlesscontainers" not in str(member.pax_headers) for member in archive)
    assert found["x"] == (33, 42)
    assert found["d"][0] == 7


def test_words_of_drivers_stay_out_and_attributes_of_users_go_in(upper):
    (upper / "d").mkdir()
    for name in ("user.overlay.opaque", "user.overlay.origin", "user.fuseoverlayfs.x", "user.mine"):
        os.setxattr(upper / "d", name, b"y")
    data, _result = layer_of(upper, is_upper=False)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        (member,) = archive
        assert {key for key in member.pax_headers if "xattr" in key} == {"SCHILY.xattr.user.mine"}


def test_sockets_are_left_out(upper, monkeypatch):
    monkeypatch.chdir(upper)  # the path would be too long for a socket
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        assert names(layer_of(upper)[0]) == []


def test_the_root_is_written_only_if_it_is_special(upper):
    assert names(layer_of(upper)[0]) == []
    upper.chmod(0o711)
    assert names(layer_of(upper)[0]) == ["."]


def test_long_names_odd_bytes_and_old_times_come_back(upper, tmp_path):
    deep = upper / "/".join(["d" * 60] * 4)
    deep.mkdir(parents=True)
    odd = os.fsencode(deep) + b"/\xff\n\xc3\xa9 =x"
    with open(odd, "wb") as file:
        file.write(b"1")
    os.symlink(b"\xfe" * 300, os.fsencode(upper) + b"/link")
    os.utime(odd, ns=(0, -1_500_000_000))
    data, _result = layer_of(upper)
    again = tmp_path / "again"
    again.mkdir(mode=0o755)
    unpack_layer(io.BytesIO(data), str(again), single_id=True)
    found = odd.replace(os.fsencode(upper), os.fsencode(again))
    assert os.stat(found).st_mtime_ns == -1_500_000_000
    assert os.readlink(os.fsencode(again) + b"/link") == b"\xfe" * 300
    remove_tree(str(again))


def test_whole_seconds_cut_the_fraction_of_times(upper):
    (upper / "x").write_text("1")
    os.utime(upper / "x", ns=(0, 5_999_999_999))
    with tarfile.open(fileobj=io.BytesIO(layer_of(upper, whole_seconds=True)[0])) as archive:
        assert archive.getmember("x").mtime == 5


def test_a_tree_of_a_thousand_levels_is_written(upper):
    unpack_layer(t.archive(t.gnu_long(b"L", b"a/" * 1000 + b"f"), t.file(b"x", b"x")), str(upper), single_id=True)
    assert layer_of(upper)[1].entries == 1001
