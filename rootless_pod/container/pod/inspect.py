"""What ``pod inspect`` and ``pod ps --format json`` say of a pod, with podman's fields and types."""

from __future__ import annotations

from rootless_pod.container.pod.limits import recorded
from rootless_pod.container.status import STARTING
from rootless_pod.oci.moments import rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.lookup import Container
    from rootless_pod.container.pod.lookup import Pod
    from rootless_pod.paths import Paths


def inspect(paths: Paths, pod: Pod) -> dict[str, Any]:
    """Return the JSON object of one pod; podman leaves out what is empty."""
    config, request = pod.config, pod.config.request
    labels = labels_of(pod)
    cgroup = recorded(paths, pod.id)
    value: dict[str, Any] = {
        "Id": config.id,
        "Name": config.name,
        "Created": rfc3339(config.created_ns),
        **({"CreateCommand": list(request.create_command)} if request.create_command else {}),
        "ExitPolicy": request.exit_policy,
        "State": pod.status,
        "Hostname": request.process.hostname,
        **({"Labels": labels} if labels else {}),
        "CreateCgroup": request.infra and request.share_parent,
        "CgroupParent": cgroup.rpartition("/")[0] or request.process.cgroup_parent,
        **({"CgroupPath": cgroup} if cgroup else {}),
        "CreateInfra": request.infra,
    }
    if request.infra:
        value["InfraContainerID"] = config.infra_id
        value["InfraConfig"] = _infra_config(pod)
    if request.share and request.infra:
        value["SharedNamespaces"] = list(request.share)
    value["NumContainers"] = len(pod.members)
    if pod.members:
        value["Containers"] = [
            {"Id": one.id, "Name": one.config.name, "State": shown_state(one)} for one in pod.members
        ]
    value.update(_shared(pod))
    if config.damaged:
        value["Error"] = config.damaged
    return value


def labels_of(pod: Pod) -> dict[str, str]:
    """Return the labels of a pod."""
    return dict(word.partition("=")[::2] for word in pod.config.request.labels)


def shown_state(container: Container) -> str:
    """Return the state of a container as podman names it."""
    return "configured" if container.status.name == STARTING else container.status.name


def _infra_config(pod: Pod) -> dict[str, Any]:
    request = pod.config.request
    network, process = request.network, request.process
    ports: dict[str, list[dict[str, str]]] = {}
    for one in network.publish:
        ports.setdefault(f"{one.container_port}/{one.protocol}", []).append(
            {"HostIp": one.host_ip or "", "HostPort": str(one.host_port)}
        )
    own_users = process.userns not in ("", "host") or bool(process.uidmap or process.gidmap)
    return {
        "PortBindings": ports,
        "HostNetwork": network.mode == "host",
        "StaticIP": network.ip or next((join.ip for join in network.joins), ""),
        "StaticMAC": network.mac_address or next((join.mac for join in network.joins), ""),
        "NoManageResolvConf": "none" in network.dns,
        "DNSServer": list(network.dns) or None,
        "DNSSearch": list(network.dns_search) or None,
        "DNSOption": list(network.dns_options) or None,
        "NoManageHosts": network.no_hosts,
        "HostAdd": list(network.add_hosts) or None,
        "Networks": [join.network for join in network.joins] or None,
        "NetworkOptions": None,
        "pid_ns": process.pid or "private",
        "userns": "private" if own_users else "host",
        "uts_ns": process.uts or "private",
    }


def _shared(pod: Pod) -> dict[str, Any]:
    """Return what the pod has as a whole: limits, devices, mounts and security options that were asked for."""
    from rootless_pod.spec.quantities import parse_size

    process = pod.config.request.process
    found: dict[str, Any] = {}
    if process.cpus:
        found["cpu_period"], found["cpu_quota"] = 100_000, int(float(process.cpus) * 100_000)
    if process.cpu_shares:
        found["cpu_shares"] = int(process.cpu_shares)
    if process.cpuset_cpus:
        found["cpuset_cpus"] = process.cpuset_cpus
    if process.cpuset_mems:
        found["cpuset_mems"] = process.cpuset_mems
    if process.memory:
        found["memory_limit"] = parse_size(process.memory, "--memory")
    if process.memory_swap and process.memory_swap != "-1":
        found["memory_swap"] = parse_size(process.memory_swap, "--memory-swap")
    if process.security_opt:
        found["security_opt"] = list(process.security_opt)
    if pod.config.request.mounts:
        found["mounts"] = [
            {"Type": one.kind, "Source": one.source, "Destination": one.target, "Options": list(one.options)}
            for one in pod.config.request.mounts
        ]
    if pod.config.request.volumes_from:
        found["volumes_from"] = list(pod.config.request.volumes_from)
    return found
