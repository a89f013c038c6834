"""Names come, go and move, and the upper directory says so in overlayfs' own words."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("pyfuse3", reason="the extra 'fuse' is not installed")

from rootless_pod.fuse.filesystems import copy_up
from rootless_pod.linux.rename import RENAME_EXCHANGE, RENAME_NOREPLACE
from tests.fuse.filesystems.trees import Stack, done

OPAQUE = "user.overlay.opaque"


def test_removing_a_lower_file_leaves_a_whiteout_and_an_upper_one_nothing(tmp_path):
    stack = Stack(tmp_path, {"lower": "x"})
    stack.make("upper")
    stack.remove("lower")
    stack.remove("upper")
    assert os.listdir(stack.upper) == ["lower"]
    assert stack.upper_is_whiteout("lower")
    assert os.listdir(stack.work) == []


def test_a_directory_made_in_the_place_of_a_removed_one_is_opaque(tmp_path):
    stack = Stack(tmp_path, {"d/old": "x"})
    stack.remove("d/old")
    stack.remove("d", directory=True)
    assert stack.upper_is_whiteout("d")
    stack.mkdir("d")
    assert os.getxattr(f"{stack.upper}/d", OPAQUE) == b"y"
    assert stack.open().names("d") == []


def test_a_directory_that_shows_something_is_not_removed(tmp_path):
    stack = Stack(tmp_path, {"d/old": "x"})
    with pytest.raises(OSError, match="not empty"):
        stack.remove("d", directory=True)
    with pytest.raises(IsADirectoryError):
        stack.remove("d")
    assert os.listdir(stack.upper) == []


def test_a_renamed_lower_file_leaves_a_whiteout(tmp_path):
    stack = Stack(tmp_path, {"a": "x", "d/b": "y"})
    stack.rename("a", "d/a")
    assert stack.upper_is_whiteout("a")
    stack.open()
    assert stack.names() == ["d"]
    assert stack.names("d") == ["a", "b"]
    stack.rename("d/a", "d/b")
    assert stack.open().text("d/b") == "x"
    assert stack.names("d") == ["b"]


def test_a_renamed_lower_directory_comes_up_whole_without_whiteouts(tmp_path):
    stack = Stack(tmp_path, {"d/gone": None, "d/sub/top": "t"}, {"d/gone": "g", "d/kept": "k", "d/sub/low": "l"})
    stack.remove("d/sub/low")
    kept = stack.node("d/kept")
    stack.rename("d", "e")
    assert stack.upper_is_whiteout("d")
    assert sorted(os.listdir(f"{stack.upper}/e")) == ["kept", "sub"]
    assert os.listdir(f"{stack.upper}/e/sub") == ["top"]
    assert stack.node("e/kept") is kept
    stack.open()
    assert stack.names() == ["e"]
    assert (stack.names("e"), stack.names("e/sub")) == (["kept", "sub"], ["top"])


def test_a_big_lower_directory_is_left_to_the_program(tmp_path):
    stack = Stack(tmp_path, {f"d/{number}": "x" for number in range(5)}, tree_entries=3)
    with pytest.raises(OSError, match="cross-device"):
        stack.rename("d", "e")
    assert os.listdir(stack.upper) == []
    assert len(stack.names("d")) == 5


def test_a_new_directory_moved_onto_a_removed_lower_one_hides_it(tmp_path):
    stack = Stack(tmp_path, {"d/old": "x", "e/old": "y"})
    stack.remove("d/old")
    stack.mkdir("new")
    stack.make("new/f", "z")
    stack.rename("new", "d")
    stack.mkdir("other")
    stack.remove("e/old")
    stack.remove("e", directory=True)
    stack.rename("other", "e")
    stack.open()
    assert stack.names() == ["d", "e"]
    assert (stack.names("d"), stack.names("e")) == (["f"], [])
    assert os.listdir(stack.work) == []


def test_exchange_and_noreplace_do_what_they_say(tmp_path):
    stack = Stack(tmp_path, {"a": "A", "d/f": "x", "e/g": "y"})
    stack.make("b", "B")
    stack.rename("a", "b", RENAME_EXCHANGE)
    stack.rename("d", "e", RENAME_EXCHANGE)
    with pytest.raises(FileExistsError):
        stack.rename("a", "b", RENAME_NOREPLACE)
    for _round in range(2):
        assert (stack.text("a"), stack.text("b")) == ("B", "A")
        assert (stack.names("d"), stack.names("e")) == (["g"], ["f"])
        stack.open()


def test_copy_up_keeps_mode_times_attributes_and_holes_and_no_trace_in_the_parent(tmp_path):
    stack = Stack(tmp_path, {"d/f": "x"})
    path = f"{stack.lower[0]}/d/f"
    with open(path, "r+b") as file:
        file.truncate(1 << 22)
        file.seek((1 << 21) + 5)
        file.write(b"y")
    os.setxattr(path, "user.test", b"1")
    os.utime(path, ns=(1_000_000_000_123_456_789, 1_100_000_000_987_654_321))
    os.utime(f"{stack.lower[0]}/d", ns=(5, 6))
    with open(path, "rb") as source, open(f"{stack.work}/copy", "w+b") as target:
        copy_up.copy_data(source.fileno(), target.fileno(), 1 << 22)
        assert os.fstat(target.fileno()).st_blocks * 512 < 1 << 20
        target.seek((1 << 21) + 5)
        assert target.read(1) == b"y"
    os.truncate(path, 100)
    os.chmod(path, 0o4751)
    os.utime(path, ns=(1_000_000_000_123_456_789, 1_100_000_000_987_654_321))
    done(stack.copy_up.file(stack.node("d/f")))
    found = os.stat(f"{stack.upper}/d/f")
    assert (found.st_mode & 0o7777, found.st_mtime_ns) == (0o4751, 1_100_000_000_987_654_321)
    assert os.getxattr(f"{stack.upper}/d/f", "user.test") == b"1"
    assert os.stat(f"{stack.upper}/d").st_mtime_ns == 6


def test_without_an_upper_layer_every_change_is_refused(tmp_path):
    stack = Stack(tmp_path, {"a": "x", "d/b": "y"}).open(upper=False)
    for change in (
        lambda: stack.make("new"), lambda: stack.remove("a"), lambda: stack.rename("a", "b"),
        lambda: stack.mkdir("d/e"), lambda: done(stack.copy_up.file(stack.node("a"))),
    ):  # fmt: skip
        with pytest.raises(OSError, match="Read-only"):
            change()
