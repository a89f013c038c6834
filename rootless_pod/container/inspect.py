"""What ``inspect`` says of a container: podman's fields, from the record, the last state and the bundle."""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.container import status as states
from rootless_pod.container.moments import NO_MOMENT, rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.health import HealthRequest
    from rootless_pod.container.lookup import Container
    from rootless_pod.paths import Paths

_STATE_NAMES = {states.STARTING: "configured"}


def inspect(paths: Paths, container: Container, *, size: bool = False) -> dict[str, Any]:
    """Return the JSON object of one container."""
    config, request = container.config, container.config.request
    if config.pod_id:
        from rootless_pod.container.pod.lookup import with_pod_ports

        container = with_pod_ports(paths, container)
    spec = _spec(paths, container.id)
    bundle = paths.bundle(container.id)
    running = container.status.is_running
    result: dict[str, Any] = {
        "Id": config.id,
        "Created": rfc3339(config.created_ns),
        "Path": config.command[0] if config.command else "",
        "Args": list(config.command[1:]),
        "State": _state(paths, container),
        "Image": config.image_id,
        "ImageName": config.image_name,
        "Rootfs": request.rootfs,
        "Pod": config.pod_id,
        "ResolvConfPath": _if_there(f"{bundle}/resolv.conf"),
        "HostnamePath": _if_there(f"{bundle}/hostname"),
        "HostsPath": _if_there(f"{bundle}/hosts"),
        "StaticDir": paths.container(config.id),
        "OCIConfigPath": _if_there(f"{bundle}/config.json"),
        "OCIRuntime": container.state.get("runtime", ""),
        "ConmonPidFile": f"{bundle}/conmon.pid",
        "PidFile": f"{bundle}/pidfile",
        "Name": config.name,
        "RestartCount": container.state.get("restarts", 0),
        "Driver": container.state.get("driver", ""),
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "EffectiveCaps": _capabilities(spec, "effective"),
        "BoundingCaps": _capabilities(spec, "bounding"),
        "ExecIDs": [],
        "GraphDriver": {"Name": container.state.get("driver", ""), "Data": _graph_data(paths, container)},
        "Mounts": _mounts(container),
        "Dependencies": list(config.dependencies),
        "NetworkSettings": _network_settings(container),
        "IsInfra": config.is_infra,
        "Config": _config(container, spec),
        "HostConfig": _host_config(paths, container, spec),
    }
    if running:
        result["State"]["ConmonPid"] = container.state.get("conmon_pid", 0)
    if size:
        result["SizeRw"] = size_of_changes(paths, config.id)
    return result


def _spec(paths: Paths, container_id: str) -> dict[str, Any]:
    """Return the runtime-spec of the running container, empty where there is none."""
    try:
        with open(f"{paths.bundle(container_id)}/config.json", "rb") as file:
            spec = jsontext.loads(file.read())
    except (OSError, ValueError):
        return {}
    return spec if isinstance(spec, dict) else {}


def _if_there(path: str) -> str:
    return path if os.path.exists(path) else ""


def _state(paths: Paths, container: Container) -> dict[str, Any]:
    from rootless_pod.container.health import shown

    status = container.status
    return {
        "OciVersion": "1.0.2",
        "Status": _STATE_NAMES.get(status.name, status.name),
        "Running": status.name in (states.RUNNING, states.STOPPING),
        "Paused": status.name == states.PAUSED,
        "Restarting": _is_restarting(container),
        "OOMKilled": status.oom,
        "Dead": False,
        "Pid": status.pid,
        "ExitCode": status.exit_code,
        "Error": status.error,
        "StartedAt": rfc3339(status.started_ns) if status.started_ns else NO_MOMENT,
        "FinishedAt": rfc3339(status.finished_ns) if status.finished_ns else NO_MOMENT,
        "Health": shown(paths, container.id),
        "CheckpointedAt": NO_MOMENT,
        "RestoredAt": NO_MOMENT,
    }


def _is_restarting(container: Container) -> bool:
    """Tell whether a start by the restart policy is due."""
    if not container.state.get("restart"):
        return False
    from rootless_pod.container.restart_policy import is_waiting

    return is_waiting(container.state)


def _capabilities(spec: dict[str, Any], which: str) -> list[str]:
    found = spec.get("process", {}).get("capabilities", {}).get(which)
    return list(found) if found else []


def _graph_data(paths: Paths, container: Container) -> dict[str, str]:
    directory = paths.container(container.id)
    return {"UpperDir": f"{directory}/upper", "WorkDir": f"{directory}/work", "MergedDir": f"{directory}/merged"}


def _mounts(container: Container) -> list[dict[str, Any]]:
    """Return the mounts the user or the image asked for, from the state once it started, else from the request."""
    wanted = {mount.target: mount for mount in container.config.request.mounts}
    kept: list[dict[str, Any]] = list(container.state.get("mounts", ()))
    if kept:
        return kept
    return [
        {
            "Type": mount.kind,
            "Source": mount.source,
            "Destination": destination,
            "Driver": "",
            "Mode": "",
            "Options": list(mount.options),
            "RW": "ro" not in mount.options,
            "Propagation": "rprivate",
        }
        for destination, mount in wanted.items()
    ]


def ports_of(container: Container) -> dict[str, list[dict[str, str]]]:
    """Return the published ports as Docker spells them: ``80/tcp`` → host ip and port."""
    network = container.state.get("network") or {}
    rows = network.get("ports") or [mapping.as_dict() for mapping in container.config.request.network.publish]
    ports: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        key = f"{row['container_port']}/{row['protocol']}"
        ports.setdefault(key, []).append({"HostIp": row.get("host_ip") or "", "HostPort": str(row["host_port"])})
    return ports


def _network_settings(container: Container) -> dict[str, Any]:
    network = container.state.get("network") or {}
    return {
        "Gateway": network.get("gateway") or "",
        "IPAddress": network.get("ip") or "",
        "IPPrefixLen": 24 if network.get("ip") else 0,
        "MacAddress": network.get("mac") or "",
        "Bridge": "",
        "SandboxID": "",
        "Ports": ports_of(container),
        "SandboxKey": network.get("netns_path") or "",
    }


def _health(request: HealthRequest | None) -> dict[str, Any]:
    """Return the health check as podman shows it: numbers that are 0 are left out, and 5.x's fields only where used."""
    action = {"HealthcheckOnFailureAction": request.on_failure if request is not None else "none"}
    if request is None:
        return action
    numbers = (
        ("StartPeriod", request.start_period_ns),
        ("Interval", request.interval_ns),
        ("Timeout", request.timeout_ns),
        ("Retries", request.retries),
    )
    check = {"Test": list(request.test), **{name: value for name, value in numbers if value}}
    found: dict[str, Any] = {"Healthcheck": check, **action}
    if request.startup_test:
        numbers = (
            ("Interval", request.startup_interval_ns),
            ("Timeout", request.startup_timeout_ns),
            ("Retries", request.startup_retries),
            ("Successes", request.startup_success),
        )
        check = {"Test": list(request.startup_test), **{name: value for name, value in numbers if value}}
        found["StartupHealthCheck"] = check
    defaults = type(request)()
    for name, field in (
        ("HealthLogDestination", "log_destination"),
        ("HealthcheckMaxLogCount", "log_count"),
        ("HealthcheckMaxLogSize", "log_size"),
    ):
        if getattr(request, field) != getattr(defaults, field):
            found[name] = getattr(request, field)
    return found


def _config(container: Container, spec: dict[str, Any]) -> dict[str, Any]:
    config, process = container.config, container.config.request.process
    actual = spec.get("process", {})
    return {
        **_health(config.request.health),
        "Hostname": spec.get("hostname") or process.hostname or config.id[:12],
        "Domainname": "",
        "User": process.user,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": process.terminal,
        "OpenStdin": process.stdin_open,
        "StdinOnce": False,
        "Env": list(actual.get("env") or process.env),
        "Cmd": list(process.command) or list(config.command),
        "Image": config.image_name,
        "Volumes": None,
        "WorkingDir": actual.get("cwd") or process.working_dir or "/",
        "Entrypoint": process.entrypoint if isinstance(process.entrypoint, str) else "",
        "Labels": dict(word.partition("=")[::2] for word in process.labels) or None,
        "Annotations": dict(word.partition("=")[::2] for word in process.annotations) or None,
        "StopSignal": config.stop_signal,
        "CreateCommand": list(config.request.create_command),
        "Umask": process.umask or "0022",
        "Timeout": config.request.timeout_seconds,
        "StopTimeout": config.request.stop_timeout_seconds,
        "Passwd": process.passwd,
    }


def _host_config(paths: Paths, container: Container, spec: dict[str, Any]) -> dict[str, Any]:
    config, request = container.config, container.config.request
    process, network = request.process, request.network
    resources = spec.get("linux", {}).get("resources", {})
    quota, period = resources.get("cpu", {}).get("quota", 0), resources.get("cpu", {}).get("period", 0)
    return {
        "Binds": [f"{mount.source}:{mount.target}" for mount in request.mounts if mount.kind in ("bind", "volume")],
        "CgroupMode": process.cgroupns or "private",
        "ContainerIDFile": request.cid_file,
        "LogConfig": {
            "Type": request.log.driver,
            "Config": None,
            "Path": request.log.path or f"{paths.container(config.id)}/ctr.log",
            "Tag": request.log.tag,
            "Size": f"{request.log.size_max or 0}B",
        },
        "NetworkMode": network.mode or str((container.state.get("network") or {}).get("mode", "")) or "default",
        "PortBindings": ports_of(container),
        "RestartPolicy": {"Name": request.restart_policy, "MaximumRetryCount": request.restart_retries},
        "AutoRemove": request.auto_remove,
        "VolumesFrom": list(request.volumes_from) or None,
        "CapAdd": list(process.cap_add),
        "CapDrop": list(process.cap_drop),
        "Dns": list(network.dns),
        "DnsOptions": list(network.dns_options),
        "DnsSearch": list(network.dns_search),
        "ExtraHosts": list(network.add_hosts),
        "GroupAdd": list(process.groups),
        "IpcMode": process.ipc or "private",
        "Cgroups": process.cgroups,
        "OomScoreAdj": process.oom_score_adj or 0,
        "PidMode": process.pid or "private",
        "Privileged": process.privileged,
        "PublishAllPorts": request.publish_all,
        "ReadonlyRootfs": process.read_only,
        "SecurityOpt": list(process.security_opt),
        "Tmpfs": {word.partition(":")[0]: word.partition(":")[2] for word in process.tmpfs},
        "UTSMode": process.uts or "private",
        "UsernsMode": process.userns,
        "Runtime": "oci",
        "Memory": resources.get("memory", {}).get("limit", 0),
        "MemorySwap": resources.get("memory", {}).get("swap", 0),
        "MemoryReservation": resources.get("memory", {}).get("reservation", 0),
        "NanoCpus": quota * 1_000_000_000 // period if quota > 0 and period else 0,
        "CpuShares": resources.get("cpu", {}).get("shares", 0),
        "CpuPeriod": period,
        "CpuQuota": quota,
        "CpusetCpus": resources.get("cpu", {}).get("cpus", ""),
        "CpusetMems": resources.get("cpu", {}).get("mems", ""),
        "PidsLimit": resources.get("pids", {}).get("limit", 0),
        "CgroupParent": process.cgroup_parent,
        "Devices": list(process.devices),
        "Ulimits": [
            {"Name": row["type"], "Soft": row["soft"], "Hard": row["hard"]}
            for row in spec.get("process", {}).get("rlimits", [])
        ],
    }


def size_of_changes(paths: Paths, container_id: str) -> int:
    """Return how many bytes the container's own files have."""
    total = 0
    for directory, _names, files in os.walk(f"{paths.container(container_id)}/upper"):
        for name in files:
            try:
                total += os.lstat(f"{directory}/{name}").st_size
            except OSError:
                continue
    return total
