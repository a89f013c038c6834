"""Limits of the runtime-spec as files of cgroup v2."""

from __future__ import annotations

import pytest

from rootless_pod.spec.unified import unified_values, weight_of


def test_memory_and_swap_are_counted_apart() -> None:
    said = unified_values({"memory": {"limit": 100, "swap": 250, "reservation": 50}})
    assert said == [("memory.max", "100"), ("memory.swap.max", "150"), ("memory.low", "50")]
    assert unified_values({"memory": {"limit": 100, "swap": -1}})[1] == ("memory.swap.max", "max")


def test_a_quota_has_its_period() -> None:
    assert unified_values({"cpu": {"quota": 50_000, "period": 100_000}}) == [("cpu.max", "50000 100000")]
    assert unified_values({"cpu": {"period": 50_000}}) == [("cpu.max", "max 50000")]


# Source: crun.1 (1.8), "cgroup v2": (1 + ((x - 2) * 9999) / 262142)
@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (512, 20), (1024, 39), (262144, 10000)])
def test_shares_become_a_weight(shares: int, weight: int) -> None:
    assert weight_of(shares) == weight


def test_what_is_named_by_its_file_comes_last() -> None:
    said = unified_values({"unified": {"pids.max": "7"}, "pids": {"limit": 3}, "blockIO": {"weight": 10}})
    assert said == [("pids.max", "3"), ("io.weight", "default 1"), ("pids.max", "7")]
