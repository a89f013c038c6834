"""``linux.resources`` as the files of a cgroup v2: for a cgroup that no runtime makes. Pure.

Source: Documentation/admin-guide/cgroup-v2.rst; the conversions are those of crun 1.8 (``crun.1``, "cgroup v2").
"""

from __future__ import annotations

from rootless_pod.spec.blockio import block_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PERIOD = 100_000


def unified_values(resources: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what to write into which file, in an order the kernel takes; a file may come twice."""
    values: dict[str, str] = {}
    values.update(_memory(resources.get("memory", {})))
    values.update(_cpu(resources.get("cpu", {})))
    limit = resources.get("pids", {}).get("limit", 0)
    if limit:
        values["pids.max"] = _or_max(limit)
    return [*values.items(), *block_files(resources.get("blockIO", {})), *resources.get("unified", {}).items()]


def _or_max(number: int) -> str:
    return "max" if number < 0 else str(number)


def _memory(section: dict[str, Any]) -> dict[str, str]:
    values: dict[str, str] = {}
    limit, swap = section.get("limit", 0), section.get("swap", 0)
    if limit:
        values["memory.max"] = _or_max(limit)
    if swap:
        # The runtime-spec counts memory and swap together, the kernel apart.
        values["memory.swap.max"] = "max" if swap < 0 else str(swap - max(limit, 0))
    if section.get("reservation"):
        values["memory.low"] = _or_max(section["reservation"])
    return values


def _cpu(section: dict[str, Any]) -> dict[str, str]:
    values: dict[str, str] = {}
    if section.get("shares"):
        values["cpu.weight"] = str(weight_of(section["shares"]))
    if section.get("quota") or section.get("period"):
        quota = section.get("quota", -1)
        values["cpu.max"] = f"{_or_max(quota)} {section.get('period', _PERIOD)}"
    for key, file in (("cpus", "cpuset.cpus"), ("mems", "cpuset.mems")):
        if section.get(key):
            values[file] = str(section[key])
    return values


def weight_of(shares: int) -> int:
    """Return the weight (1 to 10000) that stands for shares (2 to 262144)."""
    return 1 + (max(shares, 2) - 2) * 9999 // 262142
