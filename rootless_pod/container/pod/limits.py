"""Limits of a pod as a whole: a cgroup of its own, below which those of its containers lie.

It is made by whoever starts the first container and noted until the boot ends. Below the user's systemd it lies in a
delegated scope, which lives as long as any process in it, monitors included: once all containers have ended systemd
takes it away, and the next start makes another. Source: https://systemd.io/CGROUP_DELEGATION; systemd.scope(5).
"""

from __future__ import annotations

import os

from rootless_pod import log
from rootless_pod.container.limits import come_near, expected_delegation, has_limits, own_cgroup
from rootless_pod.errors import Corrupt, HostUnready, NotFound, Usage
from rootless_pod.linux import cgroup as cgroups
from rootless_pod.spec.unified import unified_values
from rootless_pod.state.lock import Lock
from rootless_pod.state.record import read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.pod.record import PodConfig, PodRequest
    from rootless_pod.container.record import ContainerConfig
    from rootless_pod.linux.cgroup import Delegation
    from rootless_pod.paths import Paths
    from rootless_pod.spec.request import SpecRequest

_RANDOM_BYTES = 4


def check(request: PodRequest) -> None:
    """See to it that limits can be held, before there is a pod that could not start.

    Raises:
        HostUnready: no delegated cgroup, or not the controller.
        Usage: a value is wrong, or nobody would lie below the pod's cgroup.
    """
    if not has_limits(request.process):
        return
    if not request.share_parent:
        raise Usage(
            "limits of a pod hold for the containers that lie in its cgroup, and with --share-parent=false none does",
            remedy="leave out --share-parent=false, or give the limits to each container",
        )
    from rootless_pod.spec.host import read_host_facts
    from rootless_pod.spec.resources import choose_resources

    found = expected_delegation(request.process, "0" * 64, read_host_facts().cgroups)
    choose_resources(request.process, found, has_cgroup=bool(found.path or request.process.cgroup_parent))


def place_of_member(
    context: Context, config: ContainerConfig, delegation: Delegation
) -> tuple[str | None, Delegation] | None:
    """Return the cgroup for a container of a pod with limits, and what it may hand on; None: the pod has none.

    This process may move for that, as in ``container.limits``.

    Raises:
        HostUnready: the limits can't be held here.
    """
    from rootless_pod.container.pod.record import read

    pod = read(context.paths, config.pod_id)
    if not has_limits(pod.request.process) or config.request.process.cgroups == "disabled":
        return None
    if delegation.layout != "v2":
        raise HostUnready(
            f"the limits of pod {pod.name} need cgroups v2, and this machine has {delegation.layout}",
            remedy="boot with systemd.unified_cgroup_hierarchy=1 on the kernel command line",
        )
    path = _cgroup_of(context.paths, pod, delegation)
    found = cgroups.read_delegation(path)
    return f"{path}/rpod-{config.id}", found.replace(enabled=found.controllers)


def _cgroup_of(paths: Paths, pod: PodConfig, delegation: Delegation) -> str:
    os.makedirs(_directory(paths), mode=0o700, exist_ok=True)
    with Lock(f"{_directory(paths)}/{pod.id}.lock"):
        known = recorded(paths, pod.id)
        if known and _is_alive(known):
            come_near(known, pod.id)
            return known
        if known:
            cgroups.remove_cgroup(known)
        return _make(paths, pod, delegation)


def _is_alive(path: str) -> bool:
    """Tell whether the cgroup is there, and what it lies in has processes: else systemd may be taking it away."""
    parent = os.path.dirname(path)
    return os.path.isdir(f"{cgroups.ROOT}{path}") and cgroups.is_populated(parent)


def _make(paths: Paths, pod: PodConfig, delegation: Delegation) -> str:
    from rootless_pod.spec.resources import choose_resources

    process = pod.request.process
    name = f"pod-{pod.id[:12]}-{os.urandom(_RANDOM_BYTES).hex()}"
    path, found = own_cgroup(process, name, delegation)
    resources = choose_resources(process, found, has_cgroup=path is not None)
    assert path is not None
    if not process.pids_limit:
        resources.pop("pids", None)  # the usual limit of one container
    directory = f"{cgroups.ROOT}{path}"
    os.makedirs(directory, exist_ok=True)
    # Noted before it is used: whoever is killed after this leaves a cgroup that the removal of the pod finds.
    write_record(f"{_directory(paths)}/{pod.id}.json", {"cgroup": path})
    for file, value in unified_values(resources):
        _write(directory, file, value, process)
    cgroups.enable_controllers(path, found.controllers, leaf="rpod")
    return path


def _write(directory: str, file: str, value: str, process: SpecRequest) -> None:
    try:
        with open(f"{directory}/{file}", "w", encoding="ascii") as target:
            target.write(value)
    except FileNotFoundError as cause:
        if file == "memory.swap.max" and not process.memory_swap:
            return  # a kernel that does not count swap
        raise HostUnready(
            f"the kernel has no {file} in {directory}", remedy="leave out the limit of the pod"
        ) from cause
    except OSError as cause:
        raise HostUnready(
            f"the kernel refuses {value!r} for {file} of the pod: {cause.strerror}", remedy="use another value"
        ) from cause


def _directory(paths: Paths) -> str:
    return f"{paths.bootroot}/pods"


def recorded(paths: Paths, pod_id: str) -> str:
    """Return the cgroup that was made for a pod in this boot, or ""."""
    try:
        return str(read_record(f"{_directory(paths)}/{pod_id}.json").get("cgroup", ""))
    except (NotFound, Corrupt):
        return ""


def drop_cgroup(paths: Paths, pod_id: str) -> None:
    """Remove a pod's cgroup and the note of it; one that still has processes stays. Idempotent."""
    path = recorded(paths, pod_id)
    if path and not cgroups.remove_cgroup(path):
        log.debug(f"the cgroup {path} of pod {pod_id[:12]} is not empty")
    for end in ("json", "lock"):
        try:
            os.unlink(f"{_directory(paths)}/{pod_id}.{end}")
        except FileNotFoundError:
            continue
