from __future__ import annotations

import pytest

from rootless_pod.runtime.cgroup2 import cgroup_setup
from tests.monitor.namespace import need_programs, run_inside


@pytest.mark.kernel
@pytest.mark.parametrize("ids", ["subid", "single"])
@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_a_runtime_is_taken_because_it_ran_a_container_and_the_host_stays_as_it_was(runtime, ids):
    need_programs(runtime)
    before = cgroup_setup()
    assert "trial container" in run_inside("tests.runtime.inside", runtime, ids=ids)
    assert cgroup_setup() == before
