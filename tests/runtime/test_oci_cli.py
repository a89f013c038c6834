"""The command line of a runtime and what becomes of its answers; the program is a shell script that plays the runtime."""

from __future__ import annotations

import shlex

import pytest

from rootless_pod.errors import Conflict, Corrupt, NotFound, ProgramFailed
from rootless_pod.runtime.oci_cli import OciRuntime, parse_state, runtime_name


@pytest.fixture
def player(tmp_path):
    """Return a function that makes a runtime which prints, complains and exits as told, and notes its argv."""

    def make(name="crun", *, out="", err="", code=0):
        path = tmp_path / name
        notes = tmp_path / "argv"
        path.write_text(
            f'#!/bin/sh\nfor a in "$@"; do printf \'%s\\n\' "$a" >> {notes}; done\ncat > {tmp_path}/stdin\n'
            f"printf %s {shlex.quote(out)}\nprintf %s {shlex.quote(err)} >&2\nexit {code}\n"
        )
        path.chmod(0o755)
        runtime = OciRuntime(name, str(path), "/state")
        return runtime, lambda: notes.read_text().splitlines()

    return make


def test_global_arguments_of_both_dialects():
    assert OciRuntime("crun", "/c", "/s").global_argv() == ("--root", "/s", "--cgroup-manager=cgroupfs")
    assert OciRuntime("crun", "/c", "/s", cgroup_manager="disabled").global_argv()[-1] == "--cgroup-manager=disabled"
    assert OciRuntime("runc", "/c", "/s").global_argv() == ("--root", "/s", "--rootless=true")


@pytest.mark.parametrize(
    ("action", "wanted"),
    [
        (lambda r: r.start("ID"), ["start", "ID"]),
        (lambda r: r.kill("ID", 15), ["kill", "ID", "15"]),
        (lambda r: r.kill("ID", 9, all_processes=True), ["kill", "--all", "ID", "9"]),
        (lambda r: r.delete("ID"), ["delete", "ID"]),
        (lambda r: r.delete("ID", force=True), ["delete", "--force", "ID"]),
        (lambda r: r.pause("ID"), ["pause", "ID"]),
        (lambda r: r.resume("ID"), ["resume", "ID"]),
    ],
)
def test_each_action_is_one_call(player, action, wanted):
    runtime, argv = player()
    action(runtime)
    assert argv() == ["--root", "/state", "--cgroup-manager=cgroupfs", "--log-format=json", *wanted]


def test_limits_go_through_stdin(player, tmp_path):
    runtime, argv = player()
    runtime.update("ID", {"memory": {"limit": 1}})
    assert argv()[-4:] == ["update", "--resources", "-", "ID"]
    assert (tmp_path / "stdin").read_text() == '{"memory":{"limit":1}}'


def test_processes_are_numbers(player):
    assert player(out="[1,22]\n")[0].processes("ID") == (1, 22)
    assert player(out="null\n")[0].processes("ID") == ()
    with pytest.raises(Corrupt):
        player(out="PID\n")[0].processes("ID")


# Source: crun 1.8.1 and runc 1.1.5, asked for a container that is not there.
UNKNOWN = [
    '{"msg":"error opening file `/state/x/status`: No such file or directory","level":"error"}',
    '{"msg":"cannot open directory \'/state/x\': No such file or directory","level":"error"}',
    '{"level":"error","msg":"container does not exist","time":"2026-01-01T00:00:00Z"}',
]


@pytest.mark.parametrize("words", UNKNOWN)
def test_an_unknown_container_has_no_state_and_is_not_found(player, words):
    runtime, _argv = player(err=words, code=1)
    assert runtime.state("ID") is None
    for action in (runtime.start, runtime.delete, runtime.pause, runtime.processes):
        with pytest.raises(NotFound):
            action("ID")
    with pytest.raises(NotFound):
        runtime.kill("ID", 15)
    runtime.delete("ID", force=True)


# Source: the same, asked to signal or delete in the wrong state.
@pytest.mark.parametrize(
    "words",
    [
        '{"msg":"kill container: No such process","level":"error"}',
        '{"msg":"the container `x` is not running","level":"error"}',
        '{"level":"error","msg":"container not running"}',
    ],
)
def test_a_signal_to_what_has_ended_is_a_conflict(player, words):
    with pytest.raises(Conflict, match="not running"):
        player(err=words, code=1)[0].kill("ID", 15)


@pytest.mark.parametrize(
    "words",
    [
        '{"msg":"the container `x` is not in \'stopped\' state","level":"error"}',
        '{"level":"error","msg":"cannot delete container x that is not stopped: running"}',
    ],
)
def test_deleting_what_runs_is_a_conflict(player, words):
    with pytest.raises(Conflict, match="still running"):
        player(err=words, code=1)[0].delete("ID")


def test_other_failures_carry_the_runtimes_words(player):
    runtime, _argv = player(err="something odd\n", code=3)
    for action in (runtime.state, runtime.delete, runtime.pause):
        with pytest.raises(ProgramFailed, match="something odd"):
            action("ID")
    with pytest.raises(ProgramFailed, match="exit code 3"):
        player(code=3)[0].state("ID")


def test_start_takes_its_reason_from_the_log(player, tmp_path):
    log = tmp_path / "oci-log"
    log.write_text('{"level":"error","msg":"exec: \\"nope\\": executable file not found in $PATH"}\n')
    with pytest.raises(NotFound, match="nope") as caught:
        player(code=1)[0].start("ID", log_path=str(log))
    assert caught.value.exit_code == 127


def test_a_state_is_decoded_and_nonsense_is_corrupt():
    state = parse_state(
        b'{"ociVersion":"1.0.0","id":"x","pid":7,"status":"running","bundle":"/b","annotations":null}', runtime="crun"
    )
    assert (state.status, state.pid, state.bundle, state.annotations) == ("running", 7, "/b", {})
    for answer in (b"", b"{}", b"[]", b'"x"', b'{"status":"running","pid":"x"}'):
        with pytest.raises(Corrupt):
            parse_state(answer, runtime="crun")


def test_the_dialect_follows_the_programs_name():
    assert [runtime_name(path) for path in ("/usr/sbin/runc", "/opt/runc-1.2", "/usr/bin/crun", "/opt/youki")] == [
        "runc",
        "runc",
        "crun",
        "crun",
    ]
