"""Restart policies without a daemon: what podman 4.3.1 does with the same options, and what survives a logout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Rpod

pytestmark = pytest.mark.endtoend
NO_NETWORK = ("--network", "none")


def until(what: Callable[[], object], seconds: float = 30) -> None:
    """Wait until ``what()`` holds; the test fails if it never does."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def field(img: Rpod, name: str, template: str) -> str:
    return img("inspect", name, "--format", template).strip()


def state(img: Rpod, name: str) -> tuple[str, int]:
    """Return (status, number of restarts)."""
    status, count = field(img, name, "{{.State.Status}} {{.RestartCount}}").split()
    return status, int(count)


def first_process(img: Rpod, name: str) -> int:
    return int(field(img, name, "{{.State.Pid}}"))


def test_a_failing_container_is_started_as_often_as_on_failure_says(img: Rpod) -> None:
    img("run", "-d", "--name", "c", *NO_NETWORK, "--restart", "on-failure:2", "img", "sh", "-c", "echo here; exit 7")
    until(lambda: state(img, "c") == ("exited", 2) and field(img, "c", "{{.State.Restarting}}") == "false")
    assert img("logs", "c").split() == ["here"] * 3
    assert field(img, "c", "{{.State.ExitCode}}") == "7"
    assert field(img, "c", "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}") == (
        "on-failure 2"
    )


def test_on_failure_leaves_a_container_alone_that_ended_well(img: Rpod) -> None:
    img("run", "--name", "c", *NO_NETWORK, "--restart", "on-failure", "img", "true")
    assert state(img, "c") == ("exited", 0)
    assert field(img, "c", "{{.State.Restarting}}") == "false"


def test_the_foreground_gets_the_first_exit_code_while_the_policy_goes_on(img: Rpod) -> None:
    assert img("run", "--name", "c", *NO_NETWORK, "--restart", "always", "img", "sh", "-c", "echo once; exit 9", code=9) == (
        "once\n"
    )  # fmt: skip
    until(lambda: state(img, "c")[1] >= 1)


def test_a_container_that_is_killed_from_outside_comes_back_and_one_that_the_user_kills_does_not(img: Rpod) -> None:
    img("run", "-d", "--name", "c", *NO_NETWORK, "--restart", "unless-stopped", "img", "sleep", "1000")
    os.kill(first_process(img, "c"), signal.SIGKILL)
    until(lambda: state(img, "c") == ("running", 1))
    img("kill", "c")
    until(lambda: state(img, "c")[0] == "exited")
    assert field(img, "c", "{{.State.Restarting}}") == "false"
    img("start", "c")
    assert state(img, "c") == ("running", 0)  # podman counts from the user's start on


@pytest.mark.parametrize("words", [["stop"], ["stop", "-a"], ["rm", "-f"], ["rm"]])
def test_stop_and_rm_act_at_once_while_a_restart_is_due(img: Rpod, words: list[str]) -> None:
    img("run", "-d", "--name", "c", *NO_NETWORK, "--restart", "always", "img", "false")
    until(lambda: state(img, "c")[1] >= 2 and field(img, "c", "{{.State.Restarting}}") == "true")
    img(*words, *([] if "-a" in words else ["c"]))
    if words[0] == "stop":
        assert field(img, "c", "{{.State.Status}} {{.State.Restarting}}") == "exited false"
    else:
        assert img("ps", "-aq") == ""
    until(lambda: not [one for one in img.processes() if "cleanup" in one], seconds=5)


def test_each_wait_is_longer_than_the_last(img: Rpod) -> None:
    img("run", "-d", "--name", "c", *NO_NETWORK, "--restart", "always", "img", "false")
    record = img.root / "containers" / field(img, "c", "{{.Id}}") / "state.json"
    delays: list[float] = []

    def grown() -> bool:
        found = json.loads(record.read_text()).get("restart", {}).get("delay_seconds")
        if found is not None and found not in delays:
            delays.append(found)
        return len(delays) >= 3

    until(grown)
    assert delays == sorted(delays)
    assert delays[-1] >= 2 * delays[0] > 0


def test_the_container_comes_back_after_the_shell_that_ran_it_and_its_whole_session_were_killed(img: Rpod) -> None:
    """Line 4 of "it must show": kill -9 of conmon's parent shell, and a re-login."""
    call = " ".join(img.argv("run", "-d", "--name", "c", *NO_NETWORK, "--restart=always", "img", "sleep", "1000"))
    shell = subprocess.Popen(
        ["sh", "-c", f"{call}; exec sleep 1000"], start_new_session=True, stdout=subprocess.PIPE, env=img.env
    )
    with shell:
        assert shell.stdout is not None
        assert len(shell.stdout.readline().strip()) == 64
        os.killpg(shell.pid, signal.SIGKILL)
    os.kill(first_process(img, "c"), signal.SIGKILL)
    until(lambda: state(img, "c") == ("running", 1))

    # Nothing of a login is left but the monitor: not even the pause process that holds the user's namespaces.
    pause = json.loads(next(img.runroot.glob("*/pause.json")).read_text())["pid"]
    os.kill(pause, signal.SIGKILL)
    os.kill(int(field(img, "c", "{{.State.Pid}}")), signal.SIGKILL)
    until(lambda: state(img, "c") == ("running", 2))
    assert img("exec", "c", "echo", "reached") == "reached\n"


def test_start_all_with_a_filter_starts_what_was_up_before_a_boot(img: Rpod) -> None:
    for name, policy in (("a", "always"), ("b", "no"), ("c", "unless-stopped")):
        img("create", "--name", name, *NO_NETWORK, "--restart", policy, "img", "sleep", "1000")
    img("start", "--all", "--filter", "restart-policy=always")
    assert img("ps", "--format", "{{.Names}}").split() == ["a"]
    assert set(img("ps", "-a", "--filter", "should-start-on-boot=true", "--format", "{{.Names}}").split()) == {"a", "c"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--restart", "sometimes"], "not a valid restart policy"),
        (["--restart", "always:3"], "only be specified with on-failure"),
        (["--restart", "on-failure:0"], "greater than 0"),
        (["--restart", "on-failure:x"], "greater than 0"),
        (["--rm", "--restart", "always"], "conflicts with"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(img: Rpod, words: list[str], said: str) -> None:
    assert said in img.error("create", *words, "img", "true")
    assert img("ps", "-aq") == ""


def test_a_restart_that_cannot_start_is_tried_again_and_keeps_the_reason(img: Rpod) -> None:
    img("run", "-d", "--name", "other", *NO_NETWORK, "img", "sleep", "1000")
    img("run", "-d", "--name", "c", "--network", "container:other", "--restart", "always", "img", "sleep", "1000")
    img("kill", "other")
    os.kill(first_process(img, "c"), signal.SIGKILL)
    until(lambda: "is not running" in field(img, "c", "{{.State.Error}}"))
    img("start", "other")
    until(lambda: state(img, "c")[0] == "running")


def test_while_it_is_started_again_a_container_shows_how_it_ended(img: Rpod) -> None:
    img.run("run", "--name", "c", "--network", "none", "img", "sh", "-c", "exit 3")
    place = img.root / "containers" / img("inspect", "-f", "{{.Id}}", "c").strip()
    ended = json.loads((place / "state.json").read_text())
    before = {key: ended[key] for key in ("exit_code", "started_ns", "finished_ns", "oom", "error")}
    boot = next(img.runroot.glob("*/containers")).parent.name
    (place / "state.json").write_text(json.dumps({"status": "starting", "boot_id": boot, "before": before}))
    shown = img("ps", "-a", "--format", "{{.Status}}")  # its starter may live: nothing is settled by a look
    assert shown.startswith("Exited (3)")
    assert img("start", "-a", "c", code=3) == ""


def test_a_start_that_fails_leaves_an_ended_container_as_it_was(img: Rpod, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    img.run("run", "--name", "c", "--network", "none", "-v", f"{tmp_path}/there:/x", "img", "sh", "-c", "exit 3")
    (tmp_path / "there").rmdir()
    full = img("inspect", "-f", "{{.Id}}", "c").strip()
    before = json.loads(img("inspect", "c"))[0]["State"]
    img.error("start", "c")
    after = json.loads(img("inspect", "c"))[0]["State"]
    for key in ("Status", "ExitCode", "StartedAt", "FinishedAt"):
        assert after[key] == before[key], key
    events = img("events", "--stream=false", "--filter", f"container={full}", "--format", "{{.Status}}").split()
    assert events.count("died") == 1
