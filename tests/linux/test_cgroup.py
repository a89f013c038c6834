"""Finding a delegated cgroup in a directory that looks like one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rootless_pod.linux.cgroup import (
    Delegation,
    can_enter,
    enable_controllers,
    find_delegation,
    find_layout,
    find_manager,
    own_path,
)


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


def test_a_root_that_shows_other_cgroups_than_ours_is_no_delegation(tree, tmp_path):
    own = own_path(Path("/proc/self/cgroup").read_text())
    assert own
    directory = tree(own, procs="1\n")
    assert find_delegation(str(tmp_path)).path == ""
    (directory / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    assert find_delegation(str(tmp_path)).path != ""


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


def test_the_search_ends_at_our_own_unit_of_systemd(tree, tmp_path):
    for path in ("/user@7.service", "/user@7.service/app.slice", "/user@7.service/app.slice/x.scope"):
        tree(path)
    tree("/user@7.service/app.slice/x.scope/leaf")
    found = find_delegation(str(tmp_path), "0::/user@7.service/app.slice/x.scope/leaf\n")
    assert (found.path, found.unit) == ("/user@7.service/app.slice/x.scope", "x.scope")


def test_a_subtree_without_systemd_is_no_unit():
    assert Delegation(layout="v2", path="/rpod-test").unit == ""
    assert Delegation(layout="v2", path="/system.slice/x.service").unit == "", "writable there means delegated"


def test_the_users_manager_is_found_from_a_session_of_theirs(tree, tmp_path):
    tree("/user.slice/user-7.slice/user@7.service", "cpu pids")
    found = find_manager(str(tmp_path), "0::/user.slice/user-7.slice/session-1.scope\n")
    assert (found.path, found.controllers) == ("/user.slice/user-7.slice/user@7.service", ("cpu", "pids"))
    assert find_manager(str(tmp_path), "0::/user.slice/user-8.slice/session-1.scope\n").path == ""
    assert find_manager(str(tmp_path), "0::/\n").path == ""


def test_a_process_moves_only_below_a_cgroup_of_ours(tree, tmp_path):
    tree("/a")
    tree("/a/b")
    tree("/a/c")
    assert can_enter("/a/b/ctr", root=str(tmp_path), membership="0::/a/c\n")
    os.unlink(tmp_path / "a/cgroup.procs")  # stands for "not ours"
    assert not can_enter("/a/b/ctr", root=str(tmp_path), membership="0::/a/c\n")
    assert can_enter("/a/b/ctr", root=str(tmp_path), membership="0::/a/b/leaf\n")
