"""Real containers under a real conmon, as an unprivileged user: the cases of ``cases.py`` with each runtime."""

from __future__ import annotations

import os
import time

import pytest

from rootless_pod.errors import TimedOut
from rootless_pod.monitor.conmon import Waiting
from rootless_pod.monitor.driver import MonitorRequest
from tests.monitor import cases, terminal_cases
from tests.monitor.namespace import need_programs, run_inside

RUNTIMES = ("crun", "runc")


@pytest.mark.kernel
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", cases.CASES)
def test_with_a_real_container(name, runtime):
    need_programs("conmon", "busybox", "newuidmap", runtime)
    run_inside("tests.monitor.inside", name, runtime)


@pytest.mark.kernel
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", terminal_cases.CASES)
def test_on_a_terminal(name, runtime):
    need_programs("conmon", "busybox", "newuidmap", runtime)
    run_inside("tests.monitor.inside", name, runtime)


@pytest.mark.kernel
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_all_the_same_with_a_single_id(runtime):
    need_programs("conmon", "busybox", runtime)
    run_inside("tests.monitor.inside", "streams_stay_apart_and_the_exit_code_is_the_containers", runtime, ids="single")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("sleep 1000", "did not begin"),
        # It forks away without a word about its pid: our own process group must not be what is killed.
        ("sleep 5 & exit 0", "gave no answer"),
    ],
)
def test_a_monitor_that_says_nothing_is_not_waited_for_without_end(tmp_path, script, words):
    program = tmp_path / "conmon"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    request = MonitorRequest(
        container_id="c" * 64,
        name="silent",
        bundle=str(tmp_path),
        runtime_path="/nowhere/runtime",
        runtime_argv=("/nowhere/runtime",),
        exit_dir=str(tmp_path / "exits"),
    )
    before = len(os.listdir("/proc/self/fd"))
    begun = time.monotonic()
    waiting = Waiting(request, str(program))
    with pytest.raises(TimedOut, match=words):
        waiting.create(timeout_seconds=0.3)
    waiting.abort()
    assert time.monotonic() - begun < 60
    assert len(os.listdir("/proc/self/fd")) == before
