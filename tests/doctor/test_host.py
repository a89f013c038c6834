"""Checks of the machine, on directories and programs made for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rootless_pod.doctor import host
from rootless_pod.doctor.checks import Wishes, run_argv
from rootless_pod.doctor.finding import FAILED, LIMITED, NOTE, OK
from rootless_pod.linux.cgroup import Delegation
from rootless_pod.paths import Paths

NOT_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


def paths(where: Path, reason: str = "") -> Paths:
    return Paths(graphroot=f"{where}/root", runroot=f"{where}/run", boot_id="0" * 32, runroot_reason=reason)


def test_places_that_can_be_written_are_ok_and_are_made(tmp_path: Path) -> None:
    assert host.check_runtime_directory(paths(tmp_path))[0].state == OK
    (found,) = host.check_graphroot(paths(tmp_path))
    assert found.state in (OK, LIMITED)  # the disk of a test machine may be full
    assert list((tmp_path / "root").iterdir()) == []


@NOT_ROOT
def test_places_that_can_not_be_written_fail_with_a_way_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    for check in (host.check_runtime_directory, host.check_graphroot):
        (found,) = check(paths(tmp_path))
        assert found.state == FAILED
        assert str(tmp_path) in found.text
        assert "--r" in found.remedy


def test_another_runtime_directory_than_asked_for_is_told(tmp_path: Path) -> None:
    (found,) = host.check_runtime_directory(paths(tmp_path, "XDG_RUNTIME_DIR is not set; using /tmp/x"))
    assert found.state == NOTE
    assert "not set" in found.text


@pytest.mark.parametrize(
    ("delegation", "state", "word"),
    [
        (Delegation(layout="hybrid"), LIMITED, "hybrid"),
        (Delegation(layout="v2"), LIMITED, "delegated"),
        (Delegation(layout="v2", path="/user.slice/x", controllers=("cpu", "pids")), LIMITED, "memory"),
        (Delegation(layout="v2", path="/user.slice/x", controllers=("cpu", "memory", "pids")), OK, "/user.slice/x"),
    ],
)
def test_cgroups_say_which_limits_are_refused(delegation: Delegation, state: str, word: str) -> None:
    (found,) = host.check_cgroups(delegation)
    assert found.state == state
    assert word in found.text
    assert bool(found.remedy) == (state != OK)


@NOT_ROOT
def test_lingering_is_read_from_systemds_own_marks(tmp_path: Path) -> None:
    user = host.user_name(os.getuid())
    without = host.check_lingering(str(tmp_path), systemd=str(tmp_path))[0]
    assert (without.state, without.remedy) == (NOTE, f"run: loginctl enable-linger {user}")
    (tmp_path / user).touch()
    assert host.check_lingering(str(tmp_path), systemd=str(tmp_path))[0].state == OK
    assert host.check_lingering("/nonexistent", systemd="/nonexistent")[0].state == OK


def test_a_monitor_that_is_missing_or_does_not_start_fails(tmp_path: Path) -> None:
    missing = host.check_programs(f"{tmp_path}/conmon")[0]
    assert missing.state == FAILED
    broken = tmp_path / "conmon"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    found = host.check_programs(str(broken))[0]
    assert found.state == FAILED
    assert "3" in found.text
    broken.write_text("#!/bin/sh\necho conmon version 9\n")
    assert host.check_programs(str(broken))[0].text.startswith("conmon version 9")


def test_the_trial_container_uses_the_places_and_drivers_of_the_call() -> None:
    argv = run_argv(Wishes(root="/r", runtime="crun"))
    assert argv[argv.index("--root") + 1] == "/r"
    assert argv[argv.index("--runtime") + 1] == "crun"
    assert "--conmon" not in argv
    assert argv[-4:] == ["none", "host", "--", "true"]
