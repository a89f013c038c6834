"""Nodes come and go with the kernel's lookups; numbers stay unique."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("pyfuse3", reason="the extra 'fuse' is not installed")

from tests.fuse.filesystems.trees import Stack, done


def forget_all(stack):
    inodes = stack.tree.inodes
    inodes.forget([(node.ident, node.lookups) for node in list(inodes.by_id.values()) if node.ident != 1])


def test_forgotten_nodes_are_dropped_and_their_descriptors_closed(tmp_path):
    stack = Stack(tmp_path, {f"d{number}/sub/f": "x" for number in range(20)})
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        stack.text(f"d{number}/sub/f")
        stack.names(f"d{number}/sub")
    assert len(stack.tree.inodes.by_id) == 61
    forget_all(stack)
    assert list(stack.tree.inodes.by_id) == [1]
    assert not stack.tree.root.children
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_directory_lives_as_long_as_something_in_it(tmp_path):
    stack = Stack(tmp_path, {"d/f": "x"})
    file = stack.node("d/f")
    directory = stack.node("d")
    stack.tree.inodes.forget([(directory.ident, directory.lookups)])
    assert stack.node("d") is directory
    stack.tree.inodes.forget([(directory.ident, 1), (file.ident, 1)])
    assert list(stack.tree.inodes.by_id) == [1]


def test_numbers_stay_through_copy_up_and_are_never_shared(tmp_path):
    stack = Stack(tmp_path, {"a": "x", "b": "y"}, {"c": "z"})
    idents = {name: stack.node(name).ident for name in "abc"}
    for name in "abc":
        done(stack.copy_up.file(stack.node(name)))
        stack.make(f"new-{name}")
    assert {name: stack.node(name).ident for name in "abc"} == idents
    everything = [stack.node(name).ident for name in stack.names()]
    assert len(set(everything)) == 6


def test_links_share_a_node_and_a_copy_up_takes_along_the_known_ones(tmp_path):
    stack = Stack(tmp_path, {"one": "x"})
    os.link(f"{stack.lower[0]}/one", f"{stack.lower[0]}/two")
    os.link(f"{stack.lower[0]}/one", f"{stack.lower[0]}/three")
    assert stack.node("one") is stack.node("two")
    done(stack.copy_up.file(stack.node("one")))
    with open(f"{stack.upper}/one", "a", encoding="utf-8") as file:
        file.write("+")
    assert (stack.text("one"), stack.text("two"), stack.text("three")) == ("x+", "x+", "x")
    assert os.stat(f"{stack.upper}/one").st_nlink == 2
    assert stack.node("three").ident != stack.node("one").ident


def test_a_deleted_file_stays_reachable_until_it_is_forgotten(tmp_path):
    stack = Stack(tmp_path, {"a": "lower"})
    for path in ("a", "b"):
        if path == "b":
            stack.make("b", "upper")
        node = stack.node(path)
        stack.remove(path)
        assert stack.node(path) is None
        fd = stack.tree.open_file(node, os.O_RDONLY)
        assert os.read(fd, 10) in {b"lower", b"upper"}
        os.close(fd)
        again = stack.make(path, "again")
        again.lookups += 1
        assert again.ident != node.ident
        stack.tree.inodes.forget([(node.ident, node.lookups)])
        assert stack.text(path) == "again"


def test_a_deleted_lower_file_can_still_be_changed(tmp_path):
    stack = Stack(tmp_path, {"a": "lower"})
    node = stack.node("a")
    stack.remove("a")
    done(stack.copy_up.file(node))
    fd = stack.tree.open_file(node, os.O_RDWR)
    os.pwrite(fd, b"L", 0)
    os.close(fd)
    assert os.listdir(stack.work) == []
    with open(f"{stack.lower[0]}/a", encoding="utf-8") as file:
        assert file.read() == "lower"
