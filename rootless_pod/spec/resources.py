"""Limits that a cgroup enforces: only with a delegated cgroup v2, and never dropped in silence. HOT."""

from __future__ import annotations

from rootless_pod.errors import HostUnready, Usage
from rootless_pod.spec.quantities import parse_int, parse_pair, parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless_pod.linux.cgroup import Delegation
    from rootless_pod.spec.request import SpecRequest

DEFAULT_PIDS = 2048
_PERIOD = 100_000
_MIN_MEMORY = 6 << 20  # below it the runtime itself can't start


def choose_resources(request: SpecRequest, cgroups: Delegation, *, has_cgroup: bool) -> dict[str, Any]:
    """Return ``linux.resources``; ``has_cgroup`` says whether the container gets a cgroup of its own.

    Raises:
        Usage: a value is wrong.
        HostUnready: no cgroup, or not the controller that a limit needs.
    """
    resources: dict[str, Any] = {}
    wanted: dict[str, str] = {}
    for controller, options, make in GROUPS:
        given = [option for option in options if getattr(request, option)]
        section = make(request) if given else {}
        if section:
            wanted[controller] = "--" + given[0].replace("_", "-")
            resources.setdefault(_SECTIONS.get(controller, controller), {}).update(section)
    for text in request.cgroup_conf:
        key, value = parse_pair(text, "--cgroup-conf")
        resources.setdefault("unified", {})[key] = value
        wanted.setdefault(key.partition(".")[0], "--cgroup-conf")
    if wanted and request.cgroups == "disabled":
        raise Usage(f"{next(iter(wanted.values()))} can't go with --cgroups=disabled: a cgroup holds the limit")
    for controller, option in wanted.items():
        _require(controller, option, cgroups, has_cgroup=has_cgroup)
    if not request.pids_limit and has_cgroup and "pids" in cgroups.enabled:
        default = request.default_pids_limit
        limit = parse_int(default, "containers.conf: pids_limit", minimum=-1) if default else DEFAULT_PIDS
        resources["pids"] = {"limit": limit or -1}
    return resources


def asked_resources(request: SpecRequest) -> dict[str, Any]:
    """Return ``linux.resources`` as asked for, whether or not this machine can keep them.

    Raises:
        Usage: a value is wrong.
    """
    resources: dict[str, Any] = {}
    for controller, options, make in GROUPS:
        if any(getattr(request, option) for option in options):
            resources.setdefault(_SECTIONS.get(controller, controller), {}).update(make(request))
    return resources


def _require(controller: str, option: str, cgroups: Delegation, *, has_cgroup: bool) -> None:
    if cgroups.layout != "v2":
        raise HostUnready(
            f"{option} needs cgroups v2, and this machine has {cgroups.layout}",
            remedy="boot with systemd.unified_cgroup_hierarchy=1 on the kernel command line, or leave out the limit",
        )
    if not cgroups.path or not has_cgroup:
        raise HostUnready(
            f"{option} needs a cgroup that is delegated to you, and this session has none",
            remedy="log in so that systemd runs for you (ssh or a terminal, not su), or start rpod by:"
            " systemd-run --user --scope -p Delegate=yes rpod …",
        )
    if controller not in cgroups.controllers and controller != "cgroup":
        listed = " ".join(cgroups.controllers) or "none"
        raise HostUnready(
            f"{option} needs the cgroup controller {controller!r}, which is not delegated to you (you have: {listed})",
            remedy="as root: put '[Service]' and 'Delegate=cpu cpuset io memory pids' into"
            " /etc/systemd/system/user@.service.d/delegate.conf, then: systemctl daemon-reload; log in again",
        )


def _memory(request: SpecRequest) -> dict[str, int]:
    section: dict[str, int] = {}
    if request.memory:
        section["limit"] = parse_size(request.memory, "--memory")
        if 0 < section["limit"] < _MIN_MEMORY:
            raise Usage(f"--memory {request.memory}: the least is 6m")
    if request.memory_reservation:
        section["reservation"] = parse_size(request.memory_reservation, "--memory-reservation")
    limit = section.get("limit", 0)
    if request.memory_swap == "-1":
        section["swap"] = -1
    elif request.memory_swap:
        section["swap"] = parse_size(request.memory_swap, "--memory-swap")
        if not limit:
            raise Usage("--memory-swap needs --memory: it is the sum of memory and swap")
        if section["swap"] < limit:
            raise Usage("minimum memory-swap limit should be larger than memory limit, see usage")
    elif limit:
        section["swap"] = 2 * limit
    if limit and section.get("reservation", 0) > limit:
        raise Usage("minimum memory limit can not be less than memory reservation limit, see usage")
    return {key: value for key, value in section.items() if value}


def _cpu(request: SpecRequest) -> dict[str, int]:
    section: dict[str, int] = {}
    if request.cpus and (request.cpu_period or request.cpu_quota):
        raise Usage("--cpus can't go with --cpu-period or --cpu-quota")
    if request.cpus:
        section["quota"], section["period"] = _cpus(request.cpus), _PERIOD
    if request.cpu_period:
        section["period"] = parse_int(request.cpu_period, "--cpu-period", minimum=1000, maximum=1_000_000)
    if request.cpu_quota:
        section["quota"] = parse_int(request.cpu_quota, "--cpu-quota", minimum=-1)
    if request.cpu_shares:
        section["shares"] = parse_int(request.cpu_shares, "--cpu-shares", minimum=0, maximum=262144)
    return {key: value for key, value in section.items() if value}


def _cpus(text: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1_000_000:
        raise Usage(f"--cpus: invalid number of CPUs: {text!r}")
    if 0 < value < 0.01:
        raise Usage(f"--cpus {text}: the least is 0.01")
    return int(value * _PERIOD)


def _cpuset(request: SpecRequest) -> dict[str, str]:
    section = {}
    for key, option, text in (
        ("cpus", "--cpuset-cpus", request.cpuset_cpus),
        ("mems", "--cpuset-mems", request.cpuset_mems),
    ):
        if text:
            for part in text.split(","):
                first, _, last = part.partition("-")
                low = parse_int(first, option, minimum=0)
                parse_int(last or first, option, minimum=low)
            section[key] = text
    return section


def _pids(request: SpecRequest) -> dict[str, int]:
    limit = parse_int(request.pids_limit, "--pids-limit", minimum=-1)
    return {"limit": limit} if limit > 0 else {}


def _block(request: SpecRequest) -> dict[str, Any]:
    from rootless_pod.spec.blockio import block_io

    return block_io(request)


_SECTIONS = {"cpuset": "cpu", "io": "blockIO"}
GROUPS: tuple[tuple[str, tuple[str, ...], Callable[[SpecRequest], dict[str, Any]]], ...] = (
    ("memory", ("memory", "memory_swap", "memory_reservation"), _memory),
    ("cpu", ("cpus", "cpu_shares", "cpu_quota", "cpu_period"), _cpu),
    ("cpuset", ("cpuset_cpus", "cpuset_mems"), _cpuset),
    ("pids", ("pids_limit",), _pids),
    (
        "io",
        (
            "blkio_weight",
            "blkio_weight_device",
            "device_read_bps",
            "device_write_bps",
            "device_read_iops",
            "device_write_iops",
        ),
        _block,
    ),
)
"""The controllers, the fields of a request that need each, and what makes the runtime-spec's section of them."""
