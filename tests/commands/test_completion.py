"""Completion in real shells, and where its candidates come from."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from terminal import Shell

from rootless_pod.commands.candidates import candidates
from rootless_pod.commands.completion import SCRIPTS

SCRIPT = pathlib.Path(__file__).parents[2] / "bin" / "rpod"
ID = "0123456789abcdef" * 4


@pytest.fixture
def root(tmp_path):
    graphroot = tmp_path / "root"
    for kind in ("image", "names/containers", f"containers/{ID}", "volumes/data"):
        (graphroot / kind).mkdir(parents=True)
    for name in ("webserver", "worker"):
        (graphroot / "names/containers" / name).symlink_to(ID)
    names = ("docker.io/library/debian:12", "registry.example/app:v1")
    index = {"manifests": [{"annotations": {"org.opencontainers.image.ref.name": name}} for name in names]}
    (graphroot / "image/index.json").write_text(json.dumps(index))
    return str(graphroot)


@pytest.fixture
def environment(tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "rpod").symlink_to(SCRIPT)
    kept = {key: os.environ[key] for key in ("LANG",) if key in os.environ}
    return {
        **kept,
        "HOME": str(tmp_path),
        "PATH": f"{programs}:/usr/bin:/bin",
        "RPOD_PYTHON": sys.executable,
        "TERM": "dumb",
        "PS1": "ready> ",
    }


def test_names_come_straight_from_disk(root):
    assert candidates("container", "w", root=root) == ["webserver", "worker"]
    assert candidates("container", "", root=root) == ["webserver", "worker"]
    assert candidates("container", "0123", root=root) == [ID]
    assert candidates("image", "", root=root) == [
        "debian:12",
        "docker.io/library/debian:12",
        "host",
        "registry.example/app:v1",
    ]
    assert candidates("volume", "d", root=root) == ["data"]
    assert candidates("shell", "", root=root) == ["bash", "fish", "zsh"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"manifests": [1, {"annotations": null}]}', '{"manifests": 5}'])
def test_a_damaged_store_disturbs_nobody(tmp_path, damage):
    (tmp_path / "image").mkdir()
    (tmp_path / "image/index.json").write_text(damage)
    assert candidates("image", "", root=str(tmp_path)) == ["host"]
    assert candidates("container", "", root=str(tmp_path / "none")) == []


def asked(line, environment, root):
    """Ask as the shells do, without one."""
    done = subprocess.run(
        [str(SCRIPT)],
        env={
            **environment,
            "_RPOD_COMPLETE": "complete_fish",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "_TYPER_COMPLETE_ARGS": line.replace("ROOT", root),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return [answer.split("\t")[0] for answer in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("rpod st", ["start", "stats", "stop"]),
        ("rpod container l", ["list", "logs", "ls"]),
        ("rpod --root ROOT start w", ["webserver", "worker"]),
        ("rpod --root=ROOT run deb", ["debian:12"]),
        ("rpod --root ROOT run -it --rm registry.example/app:", ["registry.example/app:v1"]),
        ("rpod run --env-f", ["--env-file"]),
        ("rpod run --pull a", ["always"]),
        ("rpod run --pull=n", ["never", "newer"]),
        ("rpod --log-level e", ["error"]),
        ("rpod completion z", ["zsh"]),
    ],
)
def test_what_can_follow_is_answered(line, wanted, environment, root):
    answers = asked(line, environment, root)
    assert sorted(answers) == sorted(wanted)


def test_refused_options_are_not_offered(environment, root):
    assert "--link-local-ip" not in asked("rpod run --link", environment, root)


@pytest.mark.parametrize("columns", [None, "20"])
@pytest.mark.parametrize("line", ["rpod system ", "rpod --", "rpod run --"])
def test_a_long_help_is_no_answer(line, columns, environment, root):
    wide = environment if columns is None else {**environment, "COLUMNS": columns}
    answers = asked(line, wide, root)
    assert answers
    assert [answer for answer in answers if " " in answer or answer.startswith("--") != line.endswith("--")] == []


def test_bash_completes_on_a_terminal(environment, root):
    shell = Shell(["bash", "--norc", "--noprofile", "-i"], environment)
    try:
        shell.read_until("ready> ")
        shell.ask("source <(rpod completion bash); bind 'set bell-style none'; echo lo''aded\n", "loaded")
        shell.ask("rpod vers\t", "rpod version ")
        shell.ask("\x15rpod --root " + root + " run registry.example/app:\t", "app:v1")
        shell.ask("\x15rpod --root " + root + " rm w\t\t", "webserver")
        shell.ask("\x15rpod run --pull=alw\t", "--pull=always")
    finally:
        shell.end()


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_completes_on_a_terminal(environment, root):
    shell = Shell(["zsh", "-f", "-i"], {**environment, "TERM": "xterm"})
    try:
        shell.read_until("ready> ")
        shell.ask("autoload -Uz compinit; compinit -u -d $HOME/dump; unsetopt beep; echo lo''aded\n", "loaded")
        shell.ask("source <(rpod completion zsh); echo so''urced\n", "sourced")
        shell.ask("echo rpod versi\x01\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x15", "")
        shell.ask("rpod versi\t| cat; echo do''ne\n", "done")
        assert "Python Version:" in shell.seen
        shell.ask("rpod --root " + root + " run registry.example/app:\t", "v1")
    finally:
        shell.end()


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes(environment, root):
    script = 'rpod completion fish | source; complete -C "rpod --root {0} run debian:"; complete -C "rpod versi"; complete -C "rpod load -i /etc/host"'
    done = subprocess.run(
        ["fish", "--no-config", "-c", script.replace("{0}", root)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answers = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert answers[:2] == ["debian:12", "version"]
    assert "/etc/hosts" in answers


@pytest.mark.parametrize("shell", sorted(SCRIPTS))
def test_the_script_is_printed_or_written(shell, environment, tmp_path):
    run = {"env": environment, "capture_output": True, "text": True, "timeout": 30}
    assert subprocess.run([str(SCRIPT), "completion", shell], check=True, **run).stdout == SCRIPTS[shell]
    subprocess.run([str(SCRIPT), "completion", shell, "-f", str(tmp_path / "out")], check=True, **run)
    assert (tmp_path / "out").read_text() == SCRIPTS[shell]
    refused = subprocess.run([str(SCRIPT), "completion", "tcsh"], check=False, **run)
    assert (refused.returncode, refused.stdout) == (125, "")
    assert "bash, zsh, fish" in refused.stderr
