"""Health checks without systemd: who runs them, what ``ps`` and ``inspect`` say, what is done about a sick container."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Rpod
from test_restart import NO_NETWORK, field, state, until

from rootless_pod.linux.procfs import start_time

pytestmark = pytest.mark.endtoend
SLEEP = ("img", "sleep", "1000")
OFTEN = ("--health-interval", "200ms")


def health(img: Rpod, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(img("inspect", name))[0]["State"]["Health"]
    return found


def run(img: Rpod, name: str, *words: str) -> None:
    img("run", "-d", "--name", name, "--stop-timeout", "1", *NO_NETWORK, *words, *SLEEP)


def watch_pid(img: Rpod, name: str) -> int:
    record = next(img.runroot.glob(f"*/containers/{field(img, name, '{{.Id}}')}/health.pid"))
    return int(json.loads(record.read_text())["pid"])


def has(img: Rpod, name: str, status: str) -> Callable[[], bool]:
    return lambda: health(img, name)["Status"] == status


def test_checks_are_made_without_anybody_asking_and_ps_shows_what_they_say(img: Rpod) -> None:
    run(img, "c", *OFTEN, "--health-retries", "2", "--health-cmd", "echo out; echo err >&2; test -e /tmp/ok")
    until(has(img, "c", "unhealthy"))
    assert "(unhealthy)" in img("ps", "--filter", "health=unhealthy", "--format", "{{.Status}}")
    entry = health(img, "c")["Log"][-1]
    assert set(entry) == {"Start", "End", "ExitCode", "Output"}
    assert (entry["ExitCode"], sorted(entry["Output"].split())) == (1, ["err", "out"])
    img("exec", "c", "touch", "/tmp/ok")
    assert img("wait", "--condition", "healthy", "c") == "-1\n"
    assert "(healthy)" in img("ps", "--format", "{{.Status}}")
    assert health(img, "c")["FailingStreak"] == 0
    assert img("ps", "-q", "--filter", "health=starting") == ""


def test_healthcheck_run_exits_as_podmans(img: Rpod) -> None:
    run(img, "none")
    assert "no defined healthcheck" in img.error("healthcheck", "run", "none")
    assert health(img, "none") == {"Status": "", "FailingStreak": 0, "Log": None}
    run(img, "off", "--health-cmd", "test -e /tmp/ok", "--health-interval", "disable")
    assert img("healthcheck", "run", "off", code=1) == "unhealthy\n"
    assert health(img, "off")["FailingStreak"] == 1  # with the interval disabled nobody else counts
    img("exec", "off", "touch", "/tmp/ok")
    assert img("healthcheck", "run", "off") == ""
    assert health(img, "off")["Status"] == "healthy"
    img("stop", "-t", "0", "off")
    assert "is not running" in img.error("healthcheck", "run", "off")
    assert "no container" in img.error("healthcheck", "run", "nosuch")


@pytest.mark.parametrize("policy", ["always", "no"])
def test_a_sick_container_is_restarted_on_a_host_without_systemd(img: Rpod, policy: str) -> None:
    """Line 4 of "it must show"; ``--restart no`` too: the action is its own reason to restart."""
    run(img, "c", "--restart", policy, *OFTEN, "--health-retries", "2", "--health-on-failure", "restart",
        "--health-cmd", "test ! -e /dev/shm/sick")  # fmt: skip
    until(has(img, "c", "healthy"))
    first = field(img, "c", "{{.State.Pid}}")
    img("exec", "c", "touch", "/dev/shm/sick")
    until(lambda: state(img, "c") == ("running", 1))
    assert field(img, "c", "{{.State.Pid}}") != first
    until(has(img, "c", "healthy"), seconds=60)  # /dev/shm is a new one: the restart has healed it


def test_kill_leaves_it_to_the_restart_policy_and_stop_is_for_good(img: Rpod) -> None:
    sick = (*OFTEN, "--health-retries", "1", "--health-cmd", "false")
    run(img, "killed", "--restart", "on-failure:1", *sick, "--health-on-failure", "kill")
    run(img, "stopped", "--restart", "always", *sick, "--health-on-failure", "stop")
    run(img, "left", *sick)
    until(lambda: state(img, "killed") == ("exited", 1) and field(img, "killed", "{{.State.Restarting}}") == "false")
    until(lambda: state(img, "stopped") == ("exited", 0))
    assert field(img, "stopped", "{{.State.Restarting}}") == "false"
    until(has(img, "left", "unhealthy"))
    assert state(img, "left") == ("running", 0)


def test_a_check_that_takes_too_long_is_killed_with_all_it_started(img: Rpod) -> None:
    run(img, "c", "--health-interval", "disable", "--health-timeout", "300ms", "--health-cmd", "sleep 777; true")
    assert "exceeded timeout of 0.3s" in img.error("healthcheck", "run", "c")
    assert health(img, "c")["Log"][0]["ExitCode"] == -1
    words = img("exec", "c", "sh", "-c", "cat /proc/[0-9]*/cmdline")
    assert "777" not in words.replace("\0", " ").replace("cat /proc", "")


def test_the_start_up_check_comes_first_and_restarts_a_container_that_never_gets_up(img: Rpod) -> None:
    run(img, "c", *OFTEN, "--health-cmd", "echo regular", "--health-startup-cmd", "echo startup; test -e /tmp/up",
        "--health-startup-interval", "200ms", "--health-startup-success", "2")  # fmt: skip
    until(lambda: len(health(img, "c")["Log"] or []) >= 2)
    assert {one["Output"] for one in health(img, "c")["Log"]} == {"startup"}
    assert health(img, "c")["Status"] == "starting"
    img("exec", "c", "touch", "/tmp/up")
    until(lambda: health(img, "c")["Log"][-1]["Output"] == "regular")
    assert health(img, "c")["Status"] == "healthy"
    run(img, "never", "--health-cmd", "true", "--health-startup-cmd", "false", "--health-startup-interval", "100ms",
        "--health-startup-retries", "2")  # fmt: skip
    until(lambda: state(img, "never")[1] >= 1)


def test_what_watches_is_small_ends_with_the_container_and_is_replaced_when_killed(img: Rpod) -> None:
    shell = f"{' '.join(img.argv('run', '-d', '--name', 'c', *NO_NETWORK))} --health-cmd true --health-interval 200ms img sleep 1000"
    done = subprocess.run(["sh", "-c", shell], env=img.env, capture_output=True, start_new_session=True, check=True)
    assert len(done.stdout.strip()) == 64  # and the pipe was closed: nobody holds what its caller gave it
    pid = watch_pid(img, "c")
    until(has(img, "c", "healthy"))
    assert os.getsid(pid) == pid
    opened = {os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()}
    assert not [one for one in opened if one.startswith(("pipe:", "/dev/pts", "/dev/tty"))]
    rss = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    assert int(rss.split()[1]) < 20_000  # KiB; 10,600 when it was written
    os.kill(pid, signal.SIGKILL)
    img("ps")
    until(lambda: watch_pid(img, "c") != pid)
    again = watch_pid(img, "c")
    img("stop", "-t", "0", "c")
    until(lambda: start_time(again) is None)
    assert img("ps", "-a", "--format", "{{.Status}}").endswith("(healthy)\n")


def test_a_container_whose_monitor_was_killed_is_ended_and_started_again_by_the_next_look(img: Rpod) -> None:
    run(img, "c", "--restart", "always")
    first = int(field(img, "c", "{{.State.Pid}}"))
    os.kill(int(field(img, "c", "{{.State.ConmonPid}}")), signal.SIGKILL)
    img("ps")
    until(lambda: state(img, "c") == ("running", 1))
    assert start_time(first) is None  # dead, if nobody has reaped it yet


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--health-cmd", "true", "--no-healthcheck"], "both --no-healthcheck and --health-cmd"),
        (["--health-cmd", "true", "--health-on-failure", "pray"], "invalid on-failure action"),
        (["--health-on-failure", "kill"], "without a health check"),
        (["--health-cmd", "true", "--health-retries", "0"], "must be greater than 0"),
        (["--health-cmd", "true", "--health-interval", "5"], "missing unit"),
        (["--health-cmd", "true", "--health-start-period", "-1s"], "start-period"),
        (["--health-startup-cmd", "true"], "no regular healthcheck"),
        (["--health-cmd", "true", "--health-log-destination", "/nowhere"], "no such directory"),
    ],
)
def test_a_health_check_that_cannot_be_meant_is_refused(img: Rpod, words: list[str], said: str) -> None:
    assert said in img.error("create", *words, *SLEEP)
    assert img("ps", "-aq") == ""


def test_the_log_can_go_to_a_directory_or_to_the_events(img: Rpod, tmp_path: Path) -> None:
    run(img, "c", *OFTEN, "--health-cmd", "echo hello", "--health-log-destination", str(tmp_path),
        "--health-max-log-count", "2", "--health-max-log-size", "3")  # fmt: skip
    name = field(img, "c", "{{.Id}}")
    until(lambda: len(health(img, "c")["Log"] or []) == 2)
    kept = json.loads((tmp_path / f"{name}-healthcheck.log").read_text())
    assert {one["Output"] for one in kept["Log"]} == {"hel"}
    run(img, "e", *OFTEN, "--health-cmd", "echo hello", "--health-log-destination", "events_logger")
    until(has(img, "e", "healthy"))
    assert health(img, "e")["Log"] == []
    assert "health_log" in img("events", "--stream=false", "--filter", "container=e", "--format", "json")


def with_healthcheck(layout: Path, made: Path, check: dict[str, Any]) -> Path:
    """Return a copy of the test image's layout whose config has a HEALTHCHECK."""
    subprocess.run(["cp", "-a", str(layout), str(made)], check=True)
    blobs = made / "blobs" / "sha256"

    def keep(document: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(document).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def read(descriptor: dict[str, Any]) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((blobs / descriptor["digest"].partition(":")[2]).read_bytes())
        return document

    index = json.loads((made / "index.json").read_text())
    entry = index["manifests"][0]
    manifest = read(entry)
    config = read(manifest["config"])
    config["config"]["Healthcheck"] = check
    manifest["config"] |= keep(config)
    entry |= keep(manifest)
    (made / "index.json").write_text(json.dumps(index))
    return made


def test_the_images_check_is_made_and_its_numbers_can_be_changed(img: Rpod, layout: Path, tmp_path: Path) -> None:
    check = {"Test": ["CMD-SHELL", "test -e /tmp/ok"], "Interval": 200_000_000, "Retries": 2}
    place = with_healthcheck(layout, tmp_path / "layout", check)
    name = img("pull", "-q", f"oci:{place}:test").strip()
    try:
        img("run", "-d", "--name", "a", *NO_NETWORK, name, "sleep", "1000")
        until(has(img, "a", "unhealthy"))
        img("create", "--name", "b", *NO_NETWORK, "--health-retries", "9", name, "true")
        shown = json.loads(img("inspect", "b"))[0]["Config"]["Healthcheck"]
        assert shown == {**check, "Timeout": 30 * 10**9, "Retries": 9}
        img("run", "-d", "--name", "c", *NO_NETWORK, "--no-healthcheck", name, "sleep", "1000")
        assert json.loads(img("inspect", "c"))[0]["Config"]["Healthcheck"] == {"Test": ["NONE"]}
        assert img("ps", "--filter", "name=c", "--format", "{{.Status}}").startswith("Up ")
        assert "no defined healthcheck" in img.error("healthcheck", "run", "c")
    finally:
        img("rm", "-fa", "-t", "0")
        img("rmi", "-f", name)
