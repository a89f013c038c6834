"""``rpod doctor`` on this machine, and with parts of it hidden."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from typing import Any

import pytest
from conftest import Rpod


def diagnose(rpod: Rpod, code: int) -> dict[str, dict[str, str]]:
    document: dict[str, Any] = json.loads(rpod("doctor", "--format", "json", code=code))
    assert document["Works"] == (code == 0)
    return {row["Subject"]: row for row in document["Findings"]}


def test_login_user_hears_that_it_works_and_nothing_is_left_behind(rpod: Rpod) -> None:
    found = diagnose(rpod, 0)
    assert found["a container"]["State"] == "ok"
    assert found["user namespace"]["State"] == "ok"
    assert any(name.startswith("storage ") and row["State"] == "ok" for name, row in found.items())
    assert any(name.startswith("runtime ") and row["State"] == "ok" for name, row in found.items())
    assert rpod("ps", "-aq") == ""
    assert [*rpod.runroot.rglob("*doctor*"), *rpod.root.rglob("*doctor*")] == []


def test_login_whatever_is_not_ok_comes_with_a_sentence_and_a_remedy(rpod: Rpod) -> None:
    for row in diagnose(rpod, 0).values():
        assert row["State"] in ("ok", "note", "limited")
        assert row["Text"]
        assert bool(row["Remedy"]) == (row["State"] != "ok"), row
        assert "rpod doctor" not in row["Remedy"]


def test_login_user_without_sub_ids_is_told_who_gives_them(rpod: Rpod) -> None:
    found = diagnose(rpod, 0)["subordinate ids"]
    if found["State"] == "ok":
        assert "uids" in found["Text"]
    else:
        assert "one id" in found["Text"]
        assert "usermod" in found["Remedy"] or "install" in found["Remedy"]


def test_login_without_any_helper_program_it_fails_and_names_what_to_install(rpod: Rpod) -> None:
    bare = rpod.with_options(env={"RPOD_PROGRAM_PATH": "/nonexistent"})
    found = diagnose(bare, 1)
    assert found["monitor conmon"]["State"] == "failed"
    assert found["monitor conmon"]["Remedy"].endswith("conmon")
    assert found["network pasta"]["State"] == "limited"
    assert found["network slirp4netns"]["State"] == "limited"
    assert found["a container"]["State"] == "failed"
    assert found["subordinate ids"]["State"] == "limited"


def test_login_with_only_the_monitor_hidden_the_rest_is_fine(rpod: Rpod) -> None:
    found = diagnose(rpod.with_options("--conmon", "/nonexistent/conmon"), 1)
    bad = {name for name, row in found.items() if row["State"] == "failed"}
    assert bad == {"monitor conmon", "a container"}


@pytest.mark.parametrize("runtime_dir", ["", "/nonexistent", "/root"])
def test_login_a_missing_or_foreign_runtime_directory_is_told_and_worked_around(rpod: Rpod, runtime_dir: str) -> None:
    env = {**rpod.env, "XDG_RUNTIME_DIR": runtime_dir}
    done = subprocess.run(
        [rpod.argv()[0], "--root", str(rpod.root), "doctor"], env=env, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout.decode()
    line = next(line for line in done.stdout.decode().splitlines() if "runtime directory" in line)
    assert "XDG_RUNTIME_DIR" in line
    assert line.startswith("note")


def test_login_a_home_that_can_not_be_written_fails_with_a_way_out(rpod: Rpod) -> None:
    env = {**rpod.env, "HOME": "/proc/nothing"}
    env.pop("XDG_DATA_HOME", None)
    words = [rpod.argv()[0], "--runroot", str(rpod.runroot), "doctor", "--format", "json"]
    done = subprocess.run(words, env=env, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1
    found = {row["Subject"]: row for row in json.loads(done.stdout)["Findings"]}
    assert found["storage place"]["State"] == "failed"
    assert "--root" in found["storage place"]["Remedy"]
    assert found["user namespace"]["State"] == "ok"
    assert found["storage copy"]["State"] == "ok"


def test_login_without_user_namespaces_it_says_which_setting_closes_them(rpod: Rpod) -> None:
    close = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --inh-caps -all --bounding-set -all "$@"'
    words = ["unshare", "-U", "-r", "sh", "-c", close, "sh", *rpod.argv("doctor", "--format", "json")]
    done = subprocess.run(words, env=rpod.env, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1, done
    found = {row["Subject"]: row for row in json.loads(done.stdout)["Findings"]}
    assert found["user namespace"]["State"] == "failed"
    assert "max_user_namespaces" in found["user namespace"]["Remedy"]
    assert found["a container"]["State"] == "failed"
    assert "storage copy" not in found


def test_quiet_says_only_what_is_limited_or_failed(rpod: Rpod) -> None:
    lines = rpod("doctor", "--quiet").splitlines()
    assert all(line.startswith(("limited", "FAILED", " ")) for line in lines)
    assert len(rpod("doctor").splitlines()) > len(lines) + 5


def test_output_that_is_no_terminal_has_no_colours(rpod: Rpod) -> None:
    assert "\x1b" not in rpod("doctor")


def test_the_first_container_after_a_reboot_runs_though_doctor_was_asked_before(rpod: Rpod) -> None:
    rpod("run", "--rm", "--network", "none", "host", "true")
    (pause,) = rpod.runroot.glob("*/pause.json")
    os.kill(json.loads(pause.read_text())["pid"], signal.SIGKILL)
    shutil.rmtree(rpod.runroot)
    rpod("doctor")
    rpod("run", "--rm", "host", "true")
