"""Finding a delegated cgroup in a directory that looks like one."""

from __future__ import annotations

import os

import pytest

from rootless_pod.linux.cgroup import enable_controllers, find_delegation, find_layout, own_path


@pytest.fixture
def tree(tmp_path):
    def make(path, controllers="cpu memory", procs="", mode=0o755):
        directory = tmp_path / path.strip("/")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cgroup.controllers").write_text(controllers)
        (directory / "cgroup.procs").write_text(procs)
        (directory / "cgroup.subtree_control").write_text("")
        directory.chmod(mode)
        return directory

    make("/")
    return make


def test_layouts_are_told_apart(tmp_path):
    assert find_layout(str(tmp_path)) == "none"
    (tmp_path / "memory").mkdir()
    assert find_layout(str(tmp_path)) == "v1"
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified/cgroup.controllers").touch()
    assert find_layout(str(tmp_path)) == "hybrid"
    (tmp_path / "cgroup.controllers").touch()
    assert find_layout(str(tmp_path)) == "v2"


def test_our_path_is_the_line_without_controllers():
    assert own_path("2:cpu:/x\n0::/user.slice\n") == "/user.slice"
    assert own_path("2:cpu:/x\n") == ""


def test_the_highest_writable_cgroup_in_a_row_is_found(tree, tmp_path):
    tree("/a", "cpu memory")
    tree("/a/b", "memory pids")
    tree("/a/b/c", "pids")
    os.unlink(tmp_path / "a/cgroup.procs")  # stands for "not ours": root may write everything
    found = find_delegation(str(tmp_path), "0::/a/b/c\n")
    assert (found.path, found.controllers) == ("/a/b", ("memory", "pids"))


def test_a_container_may_own_the_root(tree, tmp_path):
    found = find_delegation(str(tmp_path), "0::/\n")
    assert (found.layout, found.path) == ("v2", "/")


def test_no_membership_is_no_delegation(tree, tmp_path):
    assert find_delegation(str(tmp_path), "1:name=systemd:/\n").path == ""
    assert find_delegation(str(tmp_path), "0::/../outside\n").path == ""


def test_controllers_are_enabled_after_our_processes_moved(tree, tmp_path):
    directory = tree("/a", "cpu memory", procs="12\n")
    (directory / "leaf").mkdir()
    (directory / "leaf/cgroup.procs").write_text("")
    enable_controllers("/a", ("cpu",), leaf="leaf", root=str(tmp_path))
    assert (directory / "leaf/cgroup.procs").read_text() == "12"
    assert (directory / "cgroup.subtree_control").read_text() == "+cpu"


def test_enabled_controllers_are_left_alone(tree, tmp_path):
    directory = tree("/a", procs="12\n")
    (directory / "cgroup.subtree_control").write_text("cpu memory")
    enable_controllers("/a", ("cpu",), leaf="leaf", root=str(tmp_path))
    assert not (directory / "leaf").exists()
