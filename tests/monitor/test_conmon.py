"""Real containers under a real conmon, as an unprivileged user: the cases of ``cases.py`` with each runtime."""

from __future__ import annotations

import pytest

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
