"""The part ``HostConfig`` of a container's ``inspect``: what it may use of the machine."""

from __future__ import annotations

import os

from rootless_pod.container.inspect import network_mode, ports_of
from rootless_pod.jsontext import Map, NoList
from rootless_pod.oci.mountoptions import tmpfs_options
from rootless_pod.spec.mounts import scratch_mounts
from rootless_pod.spec.security import DEFAULT_CAPABILITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.inspect_config import ProcessFacts
    from rootless_pod.container.lookup import Container
    from rootless_pod.oci.image import Image
    from rootless_pod.paths import Paths

# What --cap-add and --cap-drop are counted from: containers/common's default set, before any containers.conf.
_USUAL_CAPABILITIES = frozenset([*DEFAULT_CAPABILITIES, "CAP_AUDIT_WRITE", "CAP_MKNOD", "CAP_NET_RAW"])
_NEVER: dict[str, Any] = {
    "BlkioWeight": 0,
    "BlkioWeightDevice": NoList(),
    "BlkioDeviceReadBps": NoList(),
    "BlkioDeviceWriteBps": NoList(),
    "BlkioDeviceReadIOps": NoList(),
    "BlkioDeviceWriteIOps": NoList(),
}
_NEVER_EITHER: dict[str, Any] = {
    "CpuCount": 0,
    "CpuPercent": 0,
    "IOMaximumIOps": 0,
    "IOMaximumBandwidth": 0,
}
_DEFAULT_SHM_BYTES = 65_536_000
_NANO = 1_000_000_000


def inspect_host(paths: Paths, container: Container, image: Image | None, facts: ProcessFacts) -> dict[str, Any]:
    """Return the object."""
    request = container.config.request
    process, network = request.process, request.network
    return {
        "Binds": _binds(container),
        "CgroupManager": "systemd" if _in_scope(container) else "cgroupfs",
        "CgroupMode": process.cgroupns or "private",
        "ContainerIDFile": request.cid_file,
        "LogConfig": _log(paths, container),
        "NetworkMode": network_mode(container),
        "PortBindings": ports_of(container, image),
        "RestartPolicy": {"Name": request.restart_policy, "MaximumRetryCount": request.restart_retries},
        "AutoRemove": request.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": list(request.volumes_from) or NoList(),
        **_capabilities(container, facts),
        "Dns": list(network.dns),
        "DnsOptions": list(network.dns_options),
        "DnsSearch": list(network.dns_search),
        "ExtraHosts": list(network.add_hosts),
        "GroupAdd": list(process.groups),
        "IpcMode": _namespace(container, "ipc", "shareable"),
        "Cgroup": "",
        "Cgroups": "default" if process.cgroups in ("", "enabled") else process.cgroups,
        "Links": NoList(),
        "OomScoreAdj": process.oom_score_adj or 0,
        "PidMode": _namespace(container, "pid", "private"),
        "Privileged": process.privileged,
        "PublishAllPorts": request.publish_all,
        "ReadonlyRootfs": process.read_only,
        "SecurityOpt": [one for one in process.security_opt if not one.startswith(("mask", "unmask", "proc-opts"))],
        "Tmpfs": _tmpfs(container),
        "UTSMode": _namespace(container, "uts", "private"),
        "UsernsMode": "private" if process.userns not in ("", "host") or process.uidmap else "",
        "ShmSize": _size(process.shm_size) or _DEFAULT_SHM_BYTES,
        "Runtime": "oci",
        "ConsoleSize": [0, 0],
        "Isolation": "",
        **_resources(facts.resources),
        "CgroupParent": process.cgroup_parent,
        "Devices": _devices(process.devices),
        "DiskQuota": 0,
        "KernelMemory": 0,
        "MemorySwappiness": 0,
        "OomKillDisable": False,
        "Ulimits": [{"Name": row["type"], "Soft": row["soft"], "Hard": row["hard"]} for row in facts.limits],
        **_NEVER_EITHER,
        "CgroupConf": _pairs(process.cgroup_conf),
    }


def _binds(container: Container) -> list[str]:
    """Return volumes and binds as ``-v`` takes them."""
    rows = container.state.get("mounts") or [
        {
            "Type": one.kind,
            "Name": one.source,
            "Source": one.source,
            "Destination": one.target,
            "Options": [word for word in one.options if word not in ("ro", "rw")],
            "RW": "ro" not in one.options,
        }
        for one in container.config.request.mounts
    ]
    return [
        f"{row.get('Name') or row['Source']}:{row['Destination']}:"
        + ",".join(["rw" if row["RW"] else "ro", *row["Options"]])
        for row in sorted(rows, key=lambda row: row["Type"] != "volume")
        if row["Type"] in ("volume", "bind")
    ]


def _in_scope(container: Container) -> bool:
    return ".scope" in str(container.state.get("cgroup") or "")


def _log(paths: Paths, container: Container) -> dict[str, Any]:
    log = container.config.request.log
    return {
        "Type": log.driver,
        "Config": None,
        "Path": ""
        if log.driver not in ("k8s-file", "json-file")
        else log.path or f"{paths.container(container.id)}/ctr.log",
        "Tag": log.tag,
        "Size": _human(log.size_max or 0),
    }


def _human(number: int) -> str:
    """Return bytes as go-units shows them: ``10kB``, at most four digits."""
    value, unit = float(number), 0
    while value >= 1000 and unit < 4:
        value, unit = value / 1000, unit + 1
    return f"{value:.4g}{('B', 'kB', 'MB', 'GB', 'TB')[unit]}"


def _capabilities(container: Container, facts: ProcessFacts) -> dict[str, list[str]]:
    if container.config.request.process.privileged:
        return {"CapAdd": [], "CapDrop": []}
    have = frozenset(facts.bounding)
    return {"CapAdd": sorted(have - _USUAL_CAPABILITIES), "CapDrop": sorted(_USUAL_CAPABILITIES - have)}


def _namespace(container: Container, name: str, usual: str) -> str:
    joined = container.config.joined.get(name)
    if joined:
        return f"container:{joined}"
    asked = getattr(container.config.request.process, name)
    return usual if asked in ("", "private") and name != "ipc" else asked or usual


def _tmpfs(container: Container) -> dict[str, str]:
    request = container.config.request
    found = {}
    for text in request.process.tmpfs:
        target, _colon, words = text.partition(":")
        found[target] = ",".join(tmpfs_options(words.split(",") if words else (), "--tmpfs"))
    found.update({one.target: ",".join(one.options) for one in request.mounts if one.kind == "tmpfs"})
    if request.process.read_only and request.process.read_only_tmpfs:
        for one in scratch_mounts(request.process, systemd=False):
            found.setdefault(one.target, ",".join(tmpfs_options((), "--read-only-tmpfs")))
    return Map(found)


def _size(text: str) -> int:
    from rootless_pod.spec.quantities import parse_size

    return parse_size(text, "--shm-size") if text else 0


def _resources(resources: dict[str, Any]) -> dict[str, Any]:
    cpu, memory = resources.get("cpu", {}), resources.get("memory", {})
    quota, period = cpu.get("quota", 0), cpu.get("period", 0)
    return {
        "CpuShares": cpu.get("shares", 0),
        "Memory": memory.get("limit", 0),
        "NanoCpus": quota * _NANO // period if quota > 0 and period else 0,
        **_NEVER,
        "CpuPeriod": period,
        "CpuQuota": quota,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": cpu.get("cpus", ""),
        "CpusetMems": cpu.get("mems", ""),
        "MemoryReservation": memory.get("reservation", 0),
        "MemorySwap": memory.get("swap", 0),
        "PidsLimit": resources.get("pids", {}).get("limit", 0),
    }


def _devices(texts: tuple[str, ...]) -> list[dict[str, str]]:
    """Return ``--device`` as objects; rootless podman shows none, as to it they are mounts."""
    found = []
    for text in texts:
        parts = text.split(":")
        inner = parts[1] if len(parts) > 1 and parts[1].startswith("/") else parts[0]
        if os.path.isabs(parts[0]):
            found.append({"PathOnHost": parts[0], "PathInContainer": inner, "CgroupPermissions": ""})
    return found


def _pairs(texts: tuple[str, ...]) -> Any:
    return Map(text.partition("=")[::2] for text in texts) or None
