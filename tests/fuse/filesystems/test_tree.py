"""What the layers show together."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("pyfuse3", reason="the extra 'fuse' is not installed")

from rootless_pod.fuse.filesystems.layers import shown_xattr, stored_xattr
from tests.fuse.filesystems.trees import Stack


def test_the_top_layer_wins_and_whiteouts_hide(tmp_path):
    stack = Stack(tmp_path, {"a": "top", "gone": None}, {"a": "bottom", "b": "bottom", "gone": "x"})
    assert (stack.text("a"), stack.text("b")) == ("top", "bottom")
    assert stack.node("gone") is None
    assert stack.names() == ["a", "b"]


def test_a_file_hides_a_directory_of_the_same_name_below(tmp_path):
    stack = Stack(tmp_path, {"d": "file"}, {"d/inner": "x"})
    assert stack.text("d") == "file"


def test_a_directory_above_a_file_does_not_merge_with_what_lies_under_that_file(tmp_path):
    stack = Stack(tmp_path, {"d/top": "t"}, {"d": "file"}, {"d/inner": "x"})
    assert stack.names("d") == ["top"]


def test_plain_whiteouts_of_image_layers_are_read(tmp_path):
    stack = Stack(
        tmp_path, {".wh.gone": "", "d/.wh..wh..opq": "", "d/new": "n"}, {"gone": "x", "kept": "k", "d/old": "o"}
    )
    assert stack.names() == ["d", "kept"]
    assert stack.names("d") == ["new"]
    assert stack.node("gone") is None
    assert stack.node("d/old") is None


def test_where_devices_are_refused_plain_whiteouts_are_written(tmp_path):
    stack = Stack(tmp_path, {"a": "x", "d/old": "o"})
    stack.layers.can_mknod = False
    stack.remove("a")
    assert os.listdir(stack.upper) == [".wh.a"]
    assert stack.node("a") is None
    stack.remove("d/old")
    stack.remove("d", directory=True)
    stack.mkdir("d")
    stack.make("a", "again")
    stack.open()
    assert stack.names() == ["a", "d"]
    assert stack.names("d") == []
    assert stack.text("a") == "again"


def test_names_that_read_as_whiteouts_cannot_be_made(tmp_path):
    stack = Stack(tmp_path, {})
    with pytest.raises(OSError, match="Invalid"):
        stack.make(".wh.x")


def test_an_upper_directory_left_by_another_program_with_leftovers_is_swept(tmp_path):
    stack = Stack(tmp_path, {"a": "x"})
    os.makedirs(f"{stack.work}/#rpod-1-1/deep")
    os.mkdir(f"{stack.work}/work")
    stack.open()
    assert os.listdir(stack.work) == ["work"]


def test_directory_descriptors_stay_below_their_limit(tmp_path):
    stack = Stack(tmp_path, {f"d{number}/f": "x" for number in range(50)}, max_fds=10)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(50):
        stack.tree.inodes.trim_fds()
        assert stack.text(f"d{number}/f") == "x"
    assert len(os.listdir("/proc/self/fd")) <= before + 12


def test_very_deep_directories_are_reached(tmp_path):
    stack = Stack(tmp_path, {})
    node = stack.tree.root
    for _level in range(1500):
        node, _status = stack.changes.mkdir(node, b"d", 0o755, (os.getuid(), os.getgid()))
        node.lookups += 1
    for other in stack.tree.inodes.by_id.values():
        stack.tree.inodes.close_fds(other)
    assert stack.tree.list(node) == []


def test_our_own_attributes_are_hidden_and_those_of_programs_are_escaped():
    assert shown_xattr(b"user.overlay.opaque") is None
    assert shown_xattr(b"user.fuseoverlayfs.origin") is None
    assert stored_xattr(b"trusted.overlay.opaque") is None
    assert stored_xattr(b"user.overlay.opaque") == b"user.overlay.overlay.opaque"
    assert shown_xattr(b"user.overlay.overlay.opaque") == b"user.overlay.opaque"
    assert stored_xattr(b"user.test") == shown_xattr(b"user.test") == b"user.test"
