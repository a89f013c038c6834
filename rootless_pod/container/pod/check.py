"""Look at the records of pods and mend those that can be: a part of ``system check``."""

from __future__ import annotations

import os
import time

from rootless_pod.container import lookup as containers
from rootless_pod.container.pod import infra
from rootless_pod.container.pod.lookup import name_of
from rootless_pod.container.pod.record import SHARED_BY_DEFAULT, PodConfig, PodRequest, read, read_second, record_of
from rootless_pod.container.pod.remove import orphans, remove, sweep
from rootless_pod.errors import Conflict, Corrupt, NotFound, RpodError
from rootless_pod.image.check import DAMAGE, LEFTOVER, WARNING, Finding
from rootless_pod.spec.request import SpecRequest
from rootless_pod.state import names, pods
from rootless_pod.state.pods import PodLock
from rootless_pod.state.record import NewerRecord, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.paths import Paths

KIND = "pod"
_JOINED_AS = {"network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid", "cgroup": "cgroup", "user": "user"}


def bad_pods(paths: Paths) -> Iterator[Finding]:
    """Find pods whose record or infra container is damaged or gone, and names without a pod."""
    with_members = {one.config.pod_id for one in containers.list_all(paths)}
    for pod_id in sorted(pods.pod_ids(paths)):
        fault = _fault_of(paths, pod_id, has_members=pod_id in with_members)
        if fault is not None:
            yield Finding(severity=fault[0], kind=KIND, name=pod_id, text=fault[1])
    for pod_id in sorted({one.config.pod_id for one in orphans(paths)}):
        yield Finding(severity=DAMAGE, kind=KIND, name=pod_id, text="it is gone, and containers of it are here")
    directory = paths.names(pods.KIND)
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        holder = names.owner(directory, name)
        if holder is not None and not os.path.isdir(paths.pod(holder)):
            yield Finding(severity=LEFTOVER, kind="name", name=name, text="the pod that had it is gone")


def _fault_of(paths: Paths, pod_id: str, *, has_members: bool) -> tuple[str, str] | None:
    try:
        pod = read(paths, pod_id)
    except NewerRecord as fault:
        return WARNING, fault.message
    except NotFound:
        known = has_members or os.path.exists(f"{paths.pod(pod_id)}/{pods.SECOND}")
        return (DAMAGE, "pod.json is gone") if known else None
    except RpodError as fault:
        return DAMAGE, fault.message
    if not pod.infra_id:
        return None
    try:
        containers.read(paths, pod.infra_id)
    except NewerRecord as fault:
        return WARNING, fault.message
    except NotFound:
        return DAMAGE, "its infra container is gone"
    except RpodError as fault:
        return DAMAGE, f"its infra container is damaged: {fault.message}"
    return None


def mend_all(context: Context, found: list[Finding], *, force: bool) -> None:
    """Mend what was found; with ``force`` pods go that can't be. What killed commands left is swept."""
    for one in found:
        if one.kind == KIND and one.severity == DAMAGE and not mend(context, one.name) and force:
            try:
                remove(context, one.name, force=True)
            except NotFound:
                continue
    sweep(context.paths)


def mend(context: Context, pod_id: str) -> bool:
    """Make a pod's record from its containers, and its infra container from the record; return whether all is well."""
    paths = context.paths
    try:
        if not _has_record(paths, pod_id):
            _write_anew(paths, pod_id)
        pod = read(paths, pod_id)
        if pod.infra_id:
            infra.replace_damaged(context, pod)
    except RpodError:
        return False
    return _fault_of(paths, pod_id, has_members=True) is None


def _has_record(paths: Paths, pod_id: str) -> bool:
    try:
        read(paths, pod_id)
    except NewerRecord:
        raise
    except RpodError:
        return False
    return True


def _write_anew(paths: Paths, pod_id: str) -> None:
    config = _remembered(paths, pod_id)
    pods.prepare(paths)
    os.makedirs(paths.pod(pod_id), mode=0o700, exist_ok=True)
    with PodLock(paths, pod_id):
        for name in ("pod.json", pods.SECOND):
            write_record(f"{paths.pod(pod_id)}/{name}", record_of(config))
        try:
            names.reserve(paths.names(pods.KIND), config.name, pod_id, objects=paths.pods)
        except Conflict:
            names.reserve(paths.names(pods.KIND), pod_id[:12], pod_id, objects=paths.pods)


def _remembered(paths: Paths, pod_id: str) -> PodConfig:
    """Return the pod as the second copy of its record has it, else as its containers tell it."""
    try:
        return read_second(paths, pod_id)
    except (Corrupt, NotFound):
        members = [one for one in containers.list_all(paths) if one.config.pod_id == pod_id]
    if not members:
        raise NotFound(f"no container tells what pod {pod_id[:12]} was")
    return from_members(pod_id, name_of(paths, pod_id), members)


def from_members(pod_id: str, name: str, members: list[Container]) -> PodConfig:
    """Return a record as the containers of a pod tell it; limits and the exit policy stand nowhere else.

    A name that was lost is the one the containers were added under.
    """
    holder = next((one for one in members if one.config.is_infra), None)
    others = [one for one in members if not one.config.is_infra]
    joined = {target for one in others for target in one.config.joined.values()}
    infra_id = holder.id if holder is not None else next(iter(joined & _lost(others)), "")
    share = {
        _JOINED_AS[kind] for one in others for kind, target in one.config.joined.items() if target == infra_id != ""
    }
    known = members[0].config.request.pod
    return PodConfig(
        id=pod_id,
        name=known if known and name == pod_id[:12] else name,
        created_ns=min((one.config.created_ns for one in members), default=time.time_ns()),
        request=_request_from(holder).replace(
            infra=bool(infra_id), share=tuple(sorted(share or (SHARED_BY_DEFAULT if infra_id else ())))
        ),
        infra_id=infra_id,
    )


def _lost(others: list[Container]) -> set[str]:
    """Return the ids that containers join and that none of them has: the infra container's, when it is gone too."""
    own = {one.id for one in others}
    return {target for one in others for target in one.config.joined.values()} - own


def _request_from(holder: Container | None) -> PodRequest:
    if holder is None:
        return PodRequest()
    made = holder.config.request
    process = SpecRequest(
        **{field: getattr(made.process, field) for field in ("devices", "security_opt", "sysctl", "shm_size",
           "userns", "uidmap", "gidmap", "pid", "uts", "hostname")}
    )  # fmt: skip
    return PodRequest(
        name=made.pod,
        infra_name=made.name,
        infra_image=made.image,
        infra_command=made.process.command if made.image else (),
        labels=made.process.labels,
        network=made.network,
        process=process,
        mounts=made.mounts,
        volumes_from=made.volumes_from,
        create_command=made.create_command,
    )
