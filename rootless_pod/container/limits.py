"""The container's own cgroup: in the unit of systemd rpod was started in, or for limits in a scope asked for. HOT."""

from __future__ import annotations

import os

from rootless_pod import log
from rootless_pod.errors import HostUnready

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.linux.cgroup import Delegation
    from rootless_pod.programs.systemd import UserManager
    from rootless_pod.spec.request import SpecRequest

LIMITS = (
    "memory", "memory_swap", "memory_reservation", "cpus", "cpu_shares", "cpu_quota", "cpu_period", "cpuset_cpus",
    "cpuset_mems", "pids_limit", "cgroup_conf", "blkio_weight", "blkio_weight_device", "device_read_bps",
    "device_write_bps", "device_read_iops", "device_write_iops",
)  # fmt: skip
_LEAF = "rpod"
_MANAGER = "user@"


def has_limits(request: SpecRequest) -> bool:
    """Whether a limit is asked that only a cgroup can hold."""
    return any(getattr(request, limit) for limit in LIMITS)


def planned_cgroup(request: SpecRequest, container_id: str, cgroups: Delegation) -> str | None:
    """Return the path of the container's cgroup, or None if it gets none; nothing is changed."""
    if request.cgroups == "disabled" or not cgroups.path:
        return None
    return f"{(request.cgroup_parent or cgroups.path).rstrip('/')}/rpod-{container_id}"


def own_cgroup(request: SpecRequest, container_id: str, cgroups: Delegation) -> tuple[str | None, Delegation]:
    """Return the path of the container's cgroup and the delegation it lies in, ready to take limits if any are asked.

    This process may move for that: into a scope of its own if limits are asked and the unit it runs in is not
    delegated, and into a child of the cgroup, which could not hand its controllers down otherwise.

    Raises:
        HostUnready: limits are asked, and the kernel refuses to hand the controllers down.
    """
    if request.cgroups == "disabled" or cgroups.layout != "v2":
        return None, cgroups
    wanted = has_limits(request)
    if not request.cgroup_parent:
        cgroups = _settle(cgroups, container_id, wanted=wanted)
    path = planned_cgroup(request, container_id, cgroups)
    ours = not request.cgroup_parent and not cgroups.unit.startswith(_MANAGER)
    if path is not None and cgroups.controllers and (wanted or ours):
        from rootless_pod.linux.cgroup import enable_controllers

        parent = os.path.dirname(path)
        try:
            enable_controllers(parent, cgroups.controllers, leaf=_LEAF)
        except OSError as cause:
            if not wanted:
                log.debug(f"the cgroup {parent} does not hand its controllers down: {cause.strerror}")
                return path, cgroups
            raise HostUnready(
                f"the cgroup {parent} does not hand its controllers down: {cause.strerror}",
                remedy="start rpod by: systemd-run --user --scope -p Delegate=yes rpod …",
            ) from cause
        cgroups = cgroups.replace(enabled=cgroups.controllers)
    return path, cgroups


def expected_delegation(request: SpecRequest, container_id: str, cgroups: Delegation) -> Delegation:
    """Return the delegation ``own_cgroup`` would find; nothing is changed and nobody asked."""
    from rootless_pod.linux.cgroup import find_manager, is_marked
    from rootless_pod.programs.systemd import socket_path

    settled = cgroups.path and (not cgroups.unit or is_marked(cgroups.path))
    if request.cgroup_parent or settled or cgroups.layout != "v2" or not has_limits(request) or not socket_path():
        return cgroups
    manager = find_manager()
    if not manager.path:
        return cgroups
    return manager.replace(path=f"{manager.path}/app.slice/rpod-{container_id}.scope", enabled=manager.controllers)


def _settle(cgroups: Delegation, container_id: str, *, wanted: bool) -> Delegation:
    """Return the delegation to use: this session's own where systemd respects it, for limits that of a new scope.

    Without limits, a container of a unit that is not delegated lies beside the units of the user's systemd: asking
    for a scope each time would cost more. Where systemd can't be asked, what there is is returned: the limits tell
    what is missing.
    """
    from rootless_pod.linux.cgroup import find_delegation, find_manager, is_marked

    if not (cgroups.unit or wanted) or (cgroups.path and (not cgroups.unit or is_marked(cgroups.path))):
        return cgroups
    from rootless_pod.programs.systemd import UserManager, socket_path

    path = socket_path()
    if not path:
        return cgroups
    try:
        with UserManager(path) as manager:
            if cgroups.unit and manager.delegates(cgroups.unit):
                return cgroups
            if not wanted:
                return find_manager()
            _start_scope(manager, container_id)
    except HostUnready as cause:
        log.debug(f"no scope for container {container_id[:12]}: {cause.message}")
        return cgroups
    return find_delegation()


def _start_scope(manager: UserManager, container_id: str) -> None:
    """Move this process into a scope for the container. Its last one may not be gone yet: the monitor is in it."""
    words = f"rpod container {container_id[:12]}"
    try:
        manager.start_scope(f"rpod-{container_id}.scope", words, os.getpid())
    except HostUnready:
        manager.start_scope(f"rpod-{container_id}-{os.getpid()}.scope", words, os.getpid())


def come_near(cgroup: str | None, container_id: str) -> None:
    """Make sure that a process of ours can be put into the container's ``cgroup``: from another session it can't.

    Then this process moves into a scope of its own, below the user's systemd as the container is.

    Raises:
        HostUnready: the user's systemd gives none, so that what is started would run outside the container's limits.
    """
    from rootless_pod.linux.cgroup import can_enter

    if not cgroup or can_enter(cgroup):
        return
    from rootless_pod.programs.systemd import UserManager, socket_path

    reason = "no systemd of yours runs that could move it"
    path = socket_path()
    if path:
        try:
            with UserManager(path) as manager:
                name = f"rpod-exec-{container_id[:12]}-{os.getpid()}.scope"
                manager.start_scope(name, f"a process for rpod container {container_id[:12]}", os.getpid())
        except HostUnready as cause:
            reason = cause.message
        if can_enter(cgroup):
            return
    raise HostUnready(
        f"a process from this session can't join the cgroup of container {container_id[:12]}: {reason}",
        remedy="call it from the session that started the container, or by: systemd-run --user --scope rpod exec …",
    )
