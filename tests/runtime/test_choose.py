from __future__ import annotations

import os
import time

import pytest

from rootless_pod.errors import HostUnready
from rootless_pod.runtime.cgroup2 import cgroup_setup
from rootless_pod.runtime.choose import choose_runtime
from rootless_pod.runtime.probe import in_child, probe_spec


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


class Host:
    """A host whose runtimes are shell scripts, with its own cgroup directory and probe cache."""

    def __init__(self, base):
        self.base = base
        self.probes = base / "probes"
        self.probes.mkdir()
        self.cgroup = base / "cgroup"
        self.cgroup.mkdir()
        (self.cgroup / "cgroup.controllers").write_text("")

    def program(self, name, *, code=0, words=""):
        path = self.base / name
        path.write_text(f"#!/bin/sh\necho {name} >> {self.base}/calls\necho '{words}' >&2\nexit {code}\n")
        path.chmod(0o755)
        return str(path)

    def calls(self):
        path = self.base / "calls"
        return path.read_text().split() if path.exists() else []

    def choose(self, *order, wanted=None):
        return choose_runtime(
            wanted, probes_dir=str(self.probes), runtime_root="/state", cgroup_root=str(self.cgroup), order=order
        )


def test_the_first_that_works_is_taken_with_its_reason(host):
    crun, runc = host.program("crun"), host.program("runc")
    choice = host.choose(crun, runc)
    assert (choice.driver.name, choice.driver.path, choice.driver.root) == ("crun", crun, "/state/crun")
    assert "trial container" in choice.reason
    assert choice.refused == ()


def test_one_that_fails_is_passed_over_and_says_why(host):
    crun, runc = host.program("crun", code=1, words="seccomp is broken here"), host.program("runc")
    choice = host.choose(crun, runc)
    assert choice.driver.name == "runc"
    assert [(name, reason) for name, reason, _remedy in choice.refused] == [(crun, "seccomp is broken here")]


def test_one_that_is_not_installed_says_how_to_install_it(host):
    choice = host.choose("/nonexistent/crun", host.program("runc"))
    assert choice.driver.name == "runc"
    name, reason, remedy = choice.refused[0]
    assert (name, "not installed" in reason, "apt install" in remedy) == ("/nonexistent/crun", True, True)


def test_where_none_works_all_reasons_are_told(host):
    with pytest.raises(HostUnready) as caught:
        host.choose(host.program("crun", code=1, words="this"), host.program("runc", code=1, words="that"))
    assert "this" in caught.value.message
    assert "that" in caught.value.message
    assert caught.value.exit_code == 125


def test_the_wanted_one_alone_is_tried(host):
    crun, runc = host.program("crun"), host.program("runc")
    assert host.choose(crun, wanted=runc).driver.path == runc
    assert host.calls() == ["runc"]
    with pytest.raises(HostUnready, match="nope does not work"):
        host.choose(crun, wanted="nope")


def test_the_answer_is_kept_until_a_program_changes(host):
    crun, runc = host.program("crun"), host.program("runc")
    first = host.choose(crun, runc)
    tried = len(host.calls())
    begun = time.perf_counter()
    second = host.choose(crun, runc)
    assert time.perf_counter() - begun < 0.02
    assert len(host.calls()) == tried
    assert (second.driver.path, second.reason) == (first.driver.path, first.reason)
    host.program("crun", code=1, words="now broken")
    os.utime(crun, ns=(1, 1))
    assert host.choose(crun, runc).driver.name == "runc"


def test_the_answer_is_not_kept_when_the_cgroups_change(host):
    crun = host.program("crun")
    host.choose(crun)
    tried = len(host.calls())
    (host.cgroup / "cgroup.controllers").unlink()
    (host.cgroup / "memory").mkdir()
    host.choose(crun)
    assert len(host.calls()) > tried


def test_a_damaged_answer_is_as_good_as_none(host):
    crun = host.program("crun")
    host.choose(crun)
    for path in host.probes.iterdir():
        path.write_text('{"key":')
    assert host.choose(crun).driver.path == crun


def test_no_trial_leaves_anything_behind(host):
    host.choose(host.program("crun", code=1, words="x"), host.program("runc"))
    assert [path.name for path in host.probes.iterdir()] == ["runtime-any.json"]


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (["cgroup.controllers"], "unified"),
        (["unified/cgroup.controllers", "memory/tasks"], "hybrid"),
        (["memory/tasks"], "legacy"),
        ([], "none"),
    ],
)
def test_the_setup_of_cgroups_is_told_by_its_files(tmp_path, files, wanted):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert cgroup_setup(str(tmp_path)) == wanted
    assert cgroup_setup(str(tmp_path / "missing")) == "none"


def test_the_trial_spec_binds_the_hosts_programs():
    spec = probe_spec("/r", ("/usr", "/lib"), "/usr/bin/true")
    assert spec["process"]["args"] == ["/usr/bin/true"]
    assert [mount["source"] for mount in spec["mounts"] if mount["type"] == "bind"] == ["/usr", "/lib"]
    assert {"type": "user"} not in spec["linux"]["namespaces"]


def test_a_trial_child_that_cannot_isolate_itself_says_so_or_runs():
    assert in_child(lambda: "a reason") == "a reason" or os.getuid() != 0
    assert in_child(lambda: None) is None or os.getuid() != 0
