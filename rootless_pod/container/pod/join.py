"""What being in a pod means for a container that is to be made: which namespaces it joins, what it inherits."""

from __future__ import annotations

from rootless_pod.container.pod import infra
from rootless_pod.container.pod.lookup import find_id, look
from rootless_pod.container.pod.record import SHARED_BY_DEFAULT, PodRequest, read
from rootless_pod.errors import NotFound, Usage
from rootless_pod.network.mode import NetworkRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.pod.record import PodConfig
    from rootless_pod.container.request import ContainerRequest
    from rootless_pod.paths import Paths
    from rootless_pod.spec.request import SpecRequest

NEW = "new:"
_KINDS = {"ipc": "ipc", "uts": "uts", "pid": "pid", "cgroup": "cgroupns", "user": "userns"}


def join(context: Context, request: ContainerRequest) -> ContainerRequest:
    """Return the request as that of a member of the pod it names; ``new:NAME`` makes the pod.

    Raises:
        NotFound: there is no such pod.
        Usage: an option belongs to the pod, not to a container of it.
    """
    word = _word(request)
    if word.startswith(NEW):
        pod, request = _make_pod(context, request, word[len(NEW) :])
    else:
        pod = read(context.paths, find_id(context.paths, word))
    _refuse(context.paths, request, pod)
    infra.ensure(context, pod)
    return _joined(request, pod)


def planned(context: Context, request: ContainerRequest) -> ContainerRequest:
    """Return what ``join`` would, and make nothing; for a pod that is not there yet the request stays as it is.

    Raises:
        NotFound, Usage: as ``join``.
    """
    word = _word(request)
    if word.startswith(NEW):
        return request
    pod = read(context.paths, find_id(context.paths, word))
    _refuse(context.paths, request, pod)
    return _joined(request, pod)


def _joined(request: ContainerRequest, pod: PodConfig) -> ContainerRequest:
    holder = f"container:{pod.infra_id}" if pod.infra_id else ""
    network = request.network
    if "net" in pod.request.share and not network.mode:
        network = network.replace(mode=holder)
    process = _process(request.process, pod, holder)
    if network.mode == holder and holder:
        process = process.replace(
            bind_hosts=process.bind_hosts and not pod.request.network.no_hosts,
            bind_resolv_conf="none" not in pod.request.network.dns,
        )
    mounts, lenders = request.mounts, request.volumes_from
    if holder and (pod.request.mounts or pod.request.volumes_from):
        lenders = (*lenders, pod.infra_id)
    elif not holder:
        own = {one.target for one in mounts}
        mounts = (*mounts, *(one for one in pod.request.mounts if one.target not in own))
        lenders = (*lenders, *pod.request.volumes_from)
    return request.replace(
        pod=pod.name,
        pod_id=pod.id,
        network=network.replace(hostname=process.hostname),
        process=process,
        mounts=mounts,
        volumes_from=lenders,
    )


def _word(request: ContainerRequest) -> str:
    if not request.pod_id_file:
        return request.pod
    if request.pod:
        raise Usage("cannot specify both --pod and --pod-id-file", remedy="leave out one of them")
    try:
        with open(request.pod_id_file, encoding="ascii", errors="replace") as file:
            return file.readline().strip()
    except OSError as cause:
        raise NotFound(
            f"cannot read the id file {request.pod_id_file}: {cause.strerror}", remedy="check the path"
        ) from cause


def _make_pod(context: Context, request: ContainerRequest, name: str) -> tuple[PodConfig, ContainerRequest]:
    """Make a pod for the container: the network, its ports and the host name are the pod's."""
    if not name:
        raise Usage("new pod name must be at least one character", remedy="write --pod new:NAME")
    from rootless_pod.container.pod.create import create
    from rootless_pod.spec.request import SpecRequest

    wanted = PodRequest(
        name=name,
        share=SHARED_BY_DEFAULT,
        network=request.network,
        process=SpecRequest(hostname=request.process.hostname, userns=request.process.userns),
        create_command=request.create_command,
    )
    process = request.process.replace(hostname="", userns="")
    return create(context, wanted), request.replace(network=NetworkRequest(), process=process)


def _refuse(paths: Paths, request: ContainerRequest, pod: PodConfig) -> None:
    """Refuse what only the pod can have, where it is shared."""
    process, network, share = request.process, request.network, pod.request.share
    if process.userns or process.uidmap or process.gidmap:
        raise Usage("--userns and --pod cannot be set together", remedy="give --userns to: rpod pod create")
    if request.init_container and look(paths, pod.id).is_running:
        raise Usage("cannot add init-ctr to a running pod", remedy=f"stop it first: rpod pod stop {pod.name}")
    if request.init_container and request.auto_remove:
        raise Usage("init containers and --rm cannot be set together", remedy="use --init-ctr once")
    if "uts" in share and not process.uts and process.hostname:
        raise Usage(
            "cannot set hostname when joining the pod UTS namespace", remedy="give --hostname to: rpod pod create"
        )
    if "net" not in share or network.mode:
        return
    shared = "network cannot be configured when it is shared with a pod"
    if network.publish or request.expose or request.publish_all:
        raise Usage(
            f"published or exposed ports must be defined when the pod is created: {shared}",
            remedy="give -p to: rpod pod create",
        )
    if network.add_hosts:
        raise Usage(
            f"extra host entries must be specified on the pod: {shared}", remedy="give --add-host to: rpod pod create"
        )
    for option, value in (
        ("--dns", network.dns),
        ("--dns-option", network.dns_options),
        ("--dns-search", network.dns_search),
        ("--network-alias", network.joins),
        ("--ip", network.ip),
        ("--mac-address", network.mac_address),
    ):
        if value:
            raise Usage(f"{option} must be specified on the pod: {shared}", remedy=f"give {option} to: rpod pod create")


def _process(process: SpecRequest, pod: PodConfig, holder: str) -> SpecRequest:
    """Return the process's slice with the pod's namespaces, devices, security options and cgroup."""
    given, share = pod.request.process, pod.request.share
    joined = {field: holder for kind, field in _KINDS.items() if kind in share and not getattr(process, field)}
    if joined.get("uts"):
        joined["hostname"] = "" if given.uts == "host" else pod.hostname
    if pod.request.share_parent and given.cgroup_parent and not process.cgroup_parent:
        joined["cgroup_parent"] = given.cgroup_parent
    return process.replace(
        devices=tuple(dict.fromkeys((*given.devices, *process.devices))),
        security_opt=tuple(dict.fromkeys((*given.security_opt, *process.security_opt))),
        **joined,
    )
