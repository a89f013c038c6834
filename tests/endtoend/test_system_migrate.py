"""``rpod system migrate``: the namespace is given up, and everything works in the next one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import Rpod


def pause_pid(rpod: Rpod) -> int:
    (record,) = rpod.runroot.glob("*/pause.json")
    return int(json.loads(record.read_text())["pid"])


def namespace(rpod: Rpod) -> str:
    return rpod("unshare", "readlink", "/proc/self/ns/user").strip()


def test_login_the_next_command_has_a_new_namespace(rpod: Rpod) -> None:
    before, pid = namespace(rpod), pause_pid(rpod)
    assert rpod("system", "migrate") == ""
    assert not list(rpod.runroot.glob("*/pause.json"))
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        state = "gone"
    assert state in ("Z", "X", "gone")
    assert namespace(rpod) != before
    assert rpod("run", "--rm", "host", "--", "id", "-u").strip() == "0"


def test_login_running_containers_are_stopped_named_and_start_again(rpod: Rpod) -> None:
    script = "trap 'exit 5' TERM; touch /tmp/up; while :; do sleep 0.1; done"
    rpod("run", "-d", "--network", "none", "--name", "first", "host", "--", "sh", "-c", script)
    rpod("run", "-d", "--name", "second", "--stop-timeout", "0", "host", "--", "sleep", "1000")
    rpod("create", "--name", "third", "host", "--", "true")
    assert sorted(rpod("system", "migrate").split()) == ["first", "second"]
    states = rpod("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()
    assert sorted(states) == ["first exited", "second exited", "third created"]
    rpod("start", "first", "second")
    assert rpod("exec", "second", "id", "-u").strip() == "0"
    rpod("rm", "-fa", "-t", "0")
    assert rpod.mounts() == []


def test_login_it_can_be_called_again_and_on_a_store_never_used(rpod: Rpod) -> None:
    rpod("system", "migrate")
    rpod("system", "migrate")
    assert rpod("run", "--rm", "host", "--", "echo", "fine") == "fine\n"


def test_a_namespace_whose_pause_process_was_killed_is_given_up_too(rpod: Rpod) -> None:
    rpod("run", "-d", "--network", "none", "--stop-timeout", "0", "--name", "kept", "host", "--", "sleep", "1000")
    before = namespace(rpod)
    os.kill(pause_pid(rpod), 9)
    assert rpod("system", "migrate") == "kept\n"
    assert namespace(rpod) != before


@pytest.mark.skipif(shutil.which("crun") is None or shutil.which("runc") is None, reason="needs both runtimes")
def test_containers_that_are_there_move_to_another_runtime(rpod: Rpod) -> None:
    rpod("create", "--name", "old", "host", "--", "true")
    said = rpod.error("system", "migrate", "--new-runtime", "no-such-runtime")
    assert 'change to runtime "no-such-runtime" requested but no such runtime is defined' in said
    assert rpod("inspect", "--format", "{{.OCIRuntime}}", "old") == "\n"
    for runtime in ("runc", "crun"):
        rpod("system", "migrate", "--new-runtime", runtime)
        assert rpod("inspect", "--format", "{{.OCIRuntime}}", "old") == f"{runtime}\n"


def test_the_runtime_of_a_containers_creation_is_kept_and_one_typed_at_the_start_wins(rpod: Rpod) -> None:
    if shutil.which("crun") is None:
        pytest.skip("crun is not installed")
    rpod("--runtime", "crun", "create", "--name", "kept", "host", "--", "true")
    configured = rpod.root.parent / f"{rpod.root.name}.conf"
    configured.write_text('[engine]\nruntime = "no-such-runtime"\n')
    try:
        other = rpod.with_options(env={"CONTAINERS_CONF": str(configured)})
        assert "no-such-runtime" in other.error("run", "--rm", "host", "--", "true")
        other("start", "-a", "kept")
        assert "no-such-runtime" in other.error("--runtime", "no-such-runtime", "start", "kept")
    finally:
        configured.unlink()
