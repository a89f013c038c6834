"""Create a pod: a directory, a name, a record, and the container that will hold its namespaces. Nothing runs."""

from __future__ import annotations

import os
import time

from rootless_pod.container.identity import claim_id, new_id, reserve_random_name
from rootless_pod.container.pod import infra, limits
from rootless_pod.container.pod.record import EXIT_POLICIES, NAMESPACES, PodConfig, PodRequest, record_of
from rootless_pod.container.pod.tell import tell
from rootless_pod.container.undo import Undo
from rootless_pod.errors import Conflict, NotFound, Refused, Usage
from rootless_pod.state import names, pods
from rootless_pod.state.pods import PodLock
from rootless_pod.state.record import write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context


def create(context: Context, request: PodRequest) -> PodConfig:
    """Make the pod and its infra container.

    After a failure there is no such pod. A kill leaves none, or one whose infra container is made when it is needed.

    Raises:
        Conflict: a name is taken (``--replace`` removes the holder), or the id file exists.
        Usage: options contradict each other.
        HostUnready: a limit is asked that nothing here could hold.
    """
    request = checked(request)
    limits.check(request)
    if request.id_file and os.path.exists(request.id_file):
        raise Conflict(f"pod id file {request.id_file} exists already", remedy="name another file, or remove it")
    pods.prepare(context.paths)
    pod_id, lock = claim_id(context.paths.pod, lambda pod_id: PodLock(context.paths, pod_id))
    with lock, Undo() as undo:
        undo.push(_drop_directory, context.paths.pod(pod_id))
        name = _reserve_name(context, request, pod_id)
        undo.push(names.release, context.paths.names(pods.KIND), name, pod_id)
        config = PodConfig(
            id=pod_id,
            name=name,
            created_ns=time.time_ns(),
            request=request,
            infra_id=new_id() if request.infra else "",
        )
        write_record(f"{context.paths.pod(pod_id)}/pod.json", record_of(config))
        write_record(f"{context.paths.pod(pod_id)}/{pods.SECOND}", record_of(config))
        if request.infra:
            infra.make(context, config)
            undo.push(_drop_infra, context, config.infra_id)
        if request.id_file:
            _write_id_file(request.id_file, pod_id)
    tell(context.paths, config, "create")
    return config


def checked(request: PodRequest) -> PodRequest:
    """Return the request with the namespaces it really shares.

    Raises:
        Usage: options contradict each other.
    """
    if request.name:
        names.check_name(request.name)
    if request.exit_policy not in EXIT_POLICIES:
        raise Usage(f"invalid pod exit policy: {request.exit_policy!r}", remedy=f"use {' or '.join(EXIT_POLICIES)}")
    for name in request.share:
        if name not in NAMESPACES:
            raise Usage(
                f"invalid kernel namespace to share: {name}. Options are: {', '.join(NAMESPACES)} or none",
            )
    if not request.infra:
        return _without_infra(request)
    share = set(request.share)
    if request.process.userns not in ("", "host") or request.process.uidmap or request.process.gidmap:
        share.add("user")
    if "cgroup" in share and request.share_parent:
        raise Usage(
            "cannot define the pod as the cgroup parent at the same time as joining the infra container's cgroup"
            " namespace",
            remedy="add --share-parent=false",
        )
    if request.infra_command and not request.infra_image:
        raise Refused(
            "--infra-command: the infra container of rpod holds no file but the program that waits",
            remedy="give --infra-image too, or start the command in a container of the pod",
        )
    return request.replace(share=tuple(sorted(share)))


def _without_infra(request: PodRequest) -> PodRequest:
    if request.share:
        raise Usage(
            f"cannot set share({','.join(request.share)}) namespaces without an infra container",
            remedy="leave out --share or --infra=false",
        )
    if request.network.publish:
        raise Usage(
            "you must have an infra container to publish port bindings to the host", remedy="leave out --infra=false"
        )
    idle = (
        ("--network", request.network.mode),
        ("--userns", request.process.userns),
        ("--pid", request.process.pid),
        ("--infra-image", request.infra_image),
        ("--infra-name", request.infra_name),
        ("--infra-command", request.infra_command),
    )
    for option, value in idle:
        if value:
            raise Usage(f"{option} needs an infra container to act on", remedy="leave out --infra=false")
    return request


def _reserve_name(context: Context, request: PodRequest, pod_id: str) -> str:
    directory, objects = context.paths.names(pods.KIND), context.paths.pods
    if request.name:
        from rootless_pod.container.pod.remove import drop_unborn, remove

        held = names.owner(directory, request.name)
        if held is not None and request.replace_existing:
            try:
                remove(context, held, force=True)
            except NotFound:
                held = None
        elif held is not None:
            drop_unborn(context.paths, held)
        _reserve(directory, request.name, pod_id, objects=objects)
        return request.name
    return reserve_random_name(directory, pod_id, objects=objects)


def _reserve(directory: str, name: str, pod_id: str, *, objects: str) -> None:
    try:
        names.reserve(directory, name, pod_id, objects=objects)
    except Conflict as cause:
        raise Conflict(
            f"name {name!r} is in use: pod already exists", remedy="use another name, or --replace"
        ) from cause


def _drop_directory(directory: str) -> None:
    for name in os.listdir(directory):
        os.unlink(f"{directory}/{name}")
    os.rmdir(directory)


def _drop_infra(context: Context, infra_id: str) -> None:
    from rootless_pod.container.remove import remove

    remove(context, infra_id, force=True, volumes=True, with_pod=True)


def _write_id_file(path: str, pod_id: str) -> None:
    try:
        with open(path, "x", encoding="ascii") as file:
            file.write(pod_id)
    except OSError as cause:
        raise Usage(f"cannot write the pod id file {path}: {cause.strerror}") from cause
