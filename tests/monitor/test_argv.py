from __future__ import annotations

import pytest

from rootless_pod.errors import Usage
from rootless_pod.monitor.argv import create_argv, exec_argv, log_argv
from rootless_pod.monitor.driver import ExecRequest, MonitorRequest


def request(**more):
    return MonitorRequest(
        **{
            "container_id": "ID", "name": "web", "bundle": "/b", "runtime_path": "/usr/bin/crun", "runtime_argv": ("--root", "/r"),
            "exit_dir": "/exits", "log_path": "/c/ctr.log", **more,
        }
    )  # fmt: skip


def test_the_plain_command_line():
    # Source: what libpod gives conmon 2.1.6, facts of conmon.md.
    assert create_argv(request(persist_dir="/p"), "/usr/bin/conmon") == (
        "/usr/bin/conmon", "--api-version", "1", "-c", "ID", "-u", "ID", "-r", "/usr/bin/crun", "-b", "/b", "-p", "/b/pidfile",
        "-n", "web", "--exit-dir", "/exits", "--persist-dir", "/p", "--full-attach", "--log-level", "error",
        "-l", "k8s-file:/c/ctr.log", "--no-sync-log", "--runtime-arg=--root", "--runtime-arg=/r", "--runtime-arg=--log-format=json",
        "--runtime-arg=--log", "--runtime-arg=/b/oci-log", "--conmon-pidfile", "/b/conmon.pid",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"terminal": True}, ["-t", "--leave-stdin-open"]),
        ({"terminal": True, "leave_stdin_open": False}, ["-t"]),
        ({"stdin_open": True}, ["-i"]),
        ({"stdin_open": True, "leave_stdin_open": True}, ["-i", "--leave-stdin-open"]),
        ({"no_new_keyring": True}, ["--no-new-keyring"]),
        ({"no_pivot": True}, ["--no-pivot"]),
        ({"timeout_seconds": 9}, ["--timeout", "9"]),
        ({"preserve_fds": (7, 8)}, ["--runtime-opt", "--preserve-fds", "--runtime-opt", "2"]),
        (
            {"exit_command": ("/rpod", "cleanup", "ID")},
            ["--exit-command", "/rpod", "--exit-command-arg", "cleanup", "--exit-command-arg", "ID"],
        ),
        ({"log_size_max": 10, "log_tag": "t"}, ["--log-size-max", "10", "--log-tag", "t"]),
    ],
)
def test_each_wish_adds_its_flags_and_nothing_else(more, wanted):
    plain, with_wish = create_argv(request(), "conmon"), create_argv(request(**more), "conmon")
    rest = list(with_wish)
    for flag in wanted:
        assert flag in rest
        rest.remove(flag)
    assert sorted(rest) == sorted(plain)
    at = with_wish.index(wanted[0])
    assert list(with_wish[at : at + len(wanted)]) == wanted


def test_the_exit_command_comes_last_so_that_its_arguments_cannot_be_taken_for_others():
    argv = create_argv(request(exit_command=("/rpod", "--root", "/x")), "conmon")
    assert argv[-6:] == ("--exit-command", "/rpod", "--exit-command-arg", "--root", "--exit-command-arg", "/x")


@pytest.mark.parametrize(
    ("driver", "wanted"),
    [
        ("k8s-file", ("-l", "k8s-file:/c/ctr.log", "--no-sync-log")),
        ("json-file", ("-l", "k8s-file:/c/ctr.log", "--no-sync-log")),
        ("none", ("-l", "none")),
        ("passthrough", ("-l", "passthrough")),
        ("journald", ("-l", "journald", "--no-sync-log")),
    ],
)
def test_log_drivers(driver, wanted):
    assert log_argv(request(log_driver=driver)) == wanted


def test_a_log_is_synced_on_demand_only():
    assert log_argv(request(sync_log=True)) == ("-l", "k8s-file:/c/ctr.log")


def test_an_unknown_log_driver_and_passthrough_on_a_terminal_are_usage_errors():
    with pytest.raises(Usage, match="fluentd"):
        log_argv(request(log_driver="fluentd"))
    with pytest.raises(Usage, match="terminal"):
        log_argv(request(log_driver="passthrough", terminal=True))


def test_exec_has_its_own_directory_and_the_containers_id():
    wish = ExecRequest(
        container_id="ID", session_id="S", directory="/x", runtime_path="/runc", runtime_argv=("--root", "/r"), process={},
        terminal=True, attached=True,
    )  # fmt: skip
    argv = exec_argv(wish, "conmon")
    assert argv[:10] == ("conmon", "--api-version", "1", "-e", "-c", "ID", "-u", "S", "-r", "/runc")
    assert argv[argv.index("--exec-process-spec") + 1] == "/x/process.json"
    assert argv[argv.index("--exit-dir") + 1] == "/x/exits"
    assert "--exec-attach" in argv
    assert "-t" in argv
    assert "--exec-attach" not in exec_argv(wish.replace(attached=False), "conmon")
