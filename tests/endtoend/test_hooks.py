"""OCI hooks at every stage, with crun and with runc: called once, in order, bounded, and reported."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Rpod

EARLY = ("prestart", "createRuntime", "createContainer")
OUTSIDE = (*EARLY, "poststart", "poststop")
QUICK = ("--network", "none", "host")
ENVIRONMENT = ["PATH=/usr/bin:/bin", "KEPT=yes"]


@pytest.fixture(params=["crun", "runc"])
def runtime(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


class Hooks:
    """A directory of hooks that write into one file, and rpod with it."""

    def __init__(self, place: Path, rpod: Rpod, *options: str) -> None:
        self.place, self.directory, self.said = place, place / "hooks.d", place / "said"
        self.directory.mkdir()
        self.said.write_text("")
        self.rpod = rpod.with_options(*options, "--hooks-dir", str(self.directory))

    def add(self, name: str, script: str, *stages: str, timeout: int | None = None, **when: Any) -> Path:
        program = self.place / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        hook: dict[str, Any] = {"path": str(program), "args": [name, *stages], "env": ENVIRONMENT}
        if timeout is not None:
            hook["timeout"] = timeout
        document = {"version": "1.0.0", "hook": hook, "when": when or {"always": True}, "stages": list(stages)}
        (self.directory / f"{name}.json").write_text(json.dumps(document))
        return program

    def notes(self, stage: str, text: str = '"$1 $KEPT $HOME $LC_CTYPE"') -> None:
        self.add(f"note-{stage}", f"cat > {self.place}/state-{stage}; echo {text} >> {self.said}", stage)

    def lines(self) -> list[str]:
        return self.said.read_text().splitlines()


def test_every_stage_is_called_once_in_order_with_its_own_environment(rpod: Rpod, tmp_path: Path, runtime: str) -> None:
    hooks = Hooks(tmp_path, rpod, "--runtime", runtime)
    for stage in OUTSIDE:
        hooks.notes(stage)
    hooks.rpod("run", "--name", "c", *QUICK, "true")
    assert hooks.lines() == [f"{stage} yes  " for stage in OUTSIDE]
    state = json.loads((tmp_path / "state-createRuntime").read_text())
    assert state["id"] == rpod("inspect", "--format", "{{.Id}}", "c").strip()
    assert state["pid"] > 0
    rpod("rm", "c")
    assert hooks.lines().count("poststop yes  ") == 1


def test_poststop_is_called_once_when_rpod_is_gone(rpod: Rpod, tmp_path: Path, runtime: str) -> None:
    """Only the monitor's exit command is there to do it, without being told of the hooks again."""
    hooks = Hooks(tmp_path, rpod, "--runtime", runtime)
    hooks.notes("poststop")
    with hooks.rpod.start("run", "--name", "c", *QUICK, "sleep", "1000") as foreground:
        while not rpod("ps", "-q", "--filter", "status=running"):
            time.sleep(0.05)
        os.kill(foreground.pid, signal.SIGKILL)
    rpod("kill", "c")
    deadline = time.monotonic() + 30
    while not hooks.lines() and time.monotonic() < deadline:
        time.sleep(0.05)
    rpod("wait", "c")
    rpod("rm", "-f", "c")
    assert len(hooks.lines()) == 1


def test_a_hook_inside_the_container(rpod: Rpod, tmp_path: Path, runtime: str) -> None:
    hooks = Hooks(tmp_path, rpod, "--runtime", runtime)
    program = hooks.add("inner", "echo inner > /run/hooked", "startContainer")
    volume = ("-v", f"{program}:{program}:ro", "--tmpfs", "/run")
    assert hooks.rpod("run", "--rm", *volume, *QUICK, "cat", "/run/hooked") == "inner\n"


@pytest.mark.parametrize("stage", EARLY)
def test_a_hook_that_fails_before_the_start_fails_it_by_name_with_its_words(
    rpod: Rpod, tmp_path: Path, runtime: str, stage: str
) -> None:
    hooks = Hooks(tmp_path, rpod, "--runtime", runtime)
    program = hooks.add("bad", "echo it went wrong >&2; exit 3", stage)
    said = hooks.rpod.error("run", "--rm", *QUICK, "true", code=126)
    assert f"{stage} hook {program} failed with exit code 3: it went wrong" in said
    assert f"see {hooks.directory}/bad.json" in said
    assert rpod("ps", "-aq") == ""


@pytest.mark.parametrize("stage", ["poststart", "poststop"])
def test_a_hook_that_fails_after_the_start_is_reported_and_nothing_fails(
    rpod: Rpod, tmp_path: Path, runtime: str, stage: str
) -> None:
    hooks = Hooks(tmp_path, rpod, "--runtime", runtime)
    program = hooks.add("bad", "echo it went wrong >&2; exit 3", stage)
    done = hooks.rpod.run("run", "--rm", *QUICK, "echo", "fine")
    assert (done.returncode, done.stdout) == (0, b"fine\n")
    assert f"{stage} hook {program} failed with exit code 3: it went wrong" in done.stderr.decode()


def words_of(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # it ended meanwhile


@pytest.mark.parametrize("stage", ["createRuntime", "createContainer", "poststop"])
def test_a_hook_that_hangs_is_ended_with_its_children_at_its_timeout(
    rpod: Rpod, tmp_path: Path, runtime: str, stage: str
) -> None:
    hooks = Hooks(tmp_path, rpod, "--runtime", runtime)
    hooks.add("slow", f"echo $$ > {tmp_path}/pid; sleep 97743.25 & sleep 97743.25", stage, timeout=1)
    done = hooks.rpod.run("run", "--rm", *QUICK, "true", timeout=60)
    assert "did not end within 1 s" in done.stderr.decode()
    assert done.returncode == (0 if stage == "poststop" else 126)
    assert [one for one in os.listdir("/proc") if one.isdigit() and b"97743.25" in words_of(one)] == []


def test_a_hook_does_not_outlive_a_start_that_was_killed(rpod: Rpod, tmp_path: Path, runtime: str) -> None:
    hooks = Hooks(tmp_path, rpod, "--runtime", runtime)
    hooks.add("slow", f"echo $$ > {tmp_path}/pid; sleep 97743.5", "createRuntime")
    with hooks.rpod.start("run", "--name", "c", *QUICK, "true") as starter:
        while not (tmp_path / "pid").exists():
            time.sleep(0.05)
        starter.kill()
    rpod("rm", "-f", "-t", "0", "c")
    left = [one for one in rpod.processes() if "pause" not in one and "/userns/" not in one]
    assert not [one for one in left if "hook" in one], left
    try:
        state = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        state = "Z"
    assert state == "Z"  # dead, whether its new parent has noticed or not


def test_only_containers_that_fit_get_a_hook(rpod: Rpod, tmp_path: Path) -> None:
    hooks = Hooks(tmp_path, rpod)
    hooks.add("by-annotation", f"echo annotation >> {hooks.said}", "prestart", annotations={"^com.example$": "y|1"})
    hooks.add("by-command", f"echo command >> {hooks.said}", "prestart", commands=["/false$", "^echo$"])
    hooks.add("by-mount", f"echo mount >> {hooks.said}", "prestart", hasBindMounts=True)
    hooks.rpod("run", "--rm", *QUICK, "true")
    assert hooks.lines() == []
    hooks.rpod("run", "--rm", "--annotation", "com.example=yes", *QUICK, "true")
    hooks.rpod("run", "--rm", *QUICK, "echo", "hello")
    hooks.rpod("run", "--rm", "-v", f"{tmp_path}:/mnt", *QUICK, "true")
    assert hooks.lines() == ["annotation", "command", "mount"]


def test_precreate_changes_what_the_container_becomes(rpod: Rpod, tmp_path: Path) -> None:
    hooks = Hooks(tmp_path, rpod)
    hooks.add("change", "sed 's/BEFORE/AFTER/'", "precreate")
    assert hooks.rpod("run", "--rm", "-e", "WORD=BEFORE", *QUICK, "sh", "-c", "echo $WORD") == "AFTER\n"
    # the seccomp profile stays in force: mode 2
    assert hooks.rpod("run", "--rm", *QUICK, "grep", "Seccomp:", "/proc/self/status").split() == ["Seccomp:", "2"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no >&2; exit 4", "failed with exit code 4: no"),
        ("true", "printed no config.json"),
        ("echo '{}'", "printed no config.json"),
        ("sleep 978", "did not end within 1 s"),
    ],
)
def test_a_precreate_hook_that_fails_fails_the_start(rpod: Rpod, tmp_path: Path, script: str, said: str) -> None:
    hooks = Hooks(tmp_path, rpod)
    program = hooks.add("bad", script, "precreate", timeout=1)
    error = hooks.rpod.error("run", "--rm", *QUICK, "true")
    assert f"precreate hook {program} {said}" in error
    assert rpod("ps", "-aq") == ""


def test_a_bad_hook_file_is_refused_with_file_and_field(rpod: Rpod, tmp_path: Path) -> None:
    hooks = Hooks(tmp_path, rpod)
    (hooks.directory / "x.json").write_text('{"version": "1.0.0", "hook": {"path": "/bin/true"}, "when": {}}')
    assert f"hook {hooks.directory}/x.json: stages is empty" in hooks.rpod.error("run", "--rm", *QUICK, "true")
    assert rpod("ps", "-aq") == ""


def test_the_directory_may_come_from_containers_conf_and_is_kept_through_a_later_start(
    rpod: Rpod, tmp_path: Path
) -> None:
    hooks = Hooks(tmp_path, rpod)
    hooks.notes("prestart")
    configuration = tmp_path / "containers.conf"
    configuration.write_text(f'[engine]\nhooks_dir = ["{hooks.directory}"]\n')
    configured = rpod.with_options(env={"CONTAINERS_CONF": str(configuration)})
    configured("run", "--name", "c", *QUICK, "true")
    configured("start", "-a", "c")
    rpod("start", "-a", "c")  # without the configuration there are none
    assert len(hooks.lines()) == 2
