"""What ``inspect`` says of a container: podman's fields, from the record, the last state and the bundle.

Source: podman 4.3.1 (probed) for names, types and order of the fields.
"""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.container import status as states
from rootless_pod.jsontext import NoList
from rootless_pod.oci.moments import NO_MOMENT, rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.lookup import Container
    from rootless_pod.oci.image import Image
    from rootless_pod.paths import Paths

_STATE_NAMES = {states.STARTING: "configured"}


def inspect(paths: Paths, container: Container, *, size: bool = False) -> dict[str, Any]:
    """Return the JSON object of one container."""
    from rootless_pod.container.inspect_config import facts_of, inspect_config
    from rootless_pod.container.inspect_host import inspect_host

    config, request = container.config, container.config.request
    if config.pod_id:
        from rootless_pod.container.pod.lookup import with_pod_ports

        container = with_pod_ports(paths, container)
    image = _image(paths, config.image_id)
    facts = facts_of(container, image, _spec(paths, container.id))
    bundle = paths.bundle(container.id)
    result: dict[str, Any] = {
        "Id": config.id,
        "Created": rfc3339(config.created_ns),
        "Path": config.command[0] if config.command else "",
        "Args": list(config.command[1:]),
        "State": _state(paths, container),
        "Image": config.image_id,
        "ImageDigest": image.manifest_digest if image is not None else "",
        "ImageName": config.image_name,
        "Rootfs": request.rootfs,
        "Pod": config.pod_id,
        "ResolvConfPath": _if_there(f"{bundle}/resolv.conf"),
        "HostnamePath": _if_there(f"{bundle}/hostname"),
        "HostsPath": _if_there(f"{bundle}/hosts"),
        "StaticDir": paths.container(config.id),
        "OCIConfigPath": _if_there(f"{bundle}/config.json"),
        "OCIRuntime": container.state.get("runtime") or container.config.request.runtime,
        "ConmonPidFile": f"{bundle}/conmon.pid",
        "PidFile": f"{bundle}/pidfile",
        "Name": config.name,
        "RestartCount": container.state.get("restarts", 0),
        "Driver": container.state.get("driver", ""),
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "EffectiveCaps": list(facts.effective) or NoList(),
        "BoundingCaps": list(facts.bounding) or NoList(),
        "ExecIDs": [],
        "GraphDriver": {"Name": container.state.get("driver", ""), "Data": _graph_data(paths, container, image)},
        "Mounts": mounts_of(paths, container),
        "Dependencies": list(config.dependencies),
        "NetworkSettings": _network_settings(paths, container, image),
        "Namespace": "",
        "IsInfra": config.is_infra,
        "IsService": False,
        "Config": inspect_config(container, facts),
        "HostConfig": inspect_host(paths, container, image, facts),
    }
    if size:
        own = size_of_changes(paths, config.id)
        result["SizeRw"] = own
        result["SizeRootFs"] = own + (image.size_bytes if image is not None else 0)
    return result


def _image(paths: Paths, image_id: str) -> Image | None:
    """Return the container's image; it may have been removed by force."""
    from rootless_pod.errors import RpodError
    from rootless_pod.image.lookup import lookup

    if not image_id:
        return None
    try:
        return lookup(paths, image_id)
    except RpodError:
        return None


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
    result = {
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
    if status.is_running:
        result["ConmonPid"] = container.state.get("conmon_pid", 0)
        result["CgroupPath"] = _cgroup(status.pid)
    return result


def _cgroup(pid: int) -> str:
    """Return the cgroup of the first process, below the root of the hierarchy; "" where it has gone."""
    from rootless_pod.linux.procfs import read_text

    try:
        rows = read_text(f"/proc/{pid}/cgroup").splitlines()
    except OSError:
        return ""
    return next((row[3:] for row in rows if row.startswith("0::")), "")


def _is_restarting(container: Container) -> bool:
    """Tell whether a start by the restart policy is due."""
    if not container.state.get("restart"):
        return False
    from rootless_pod.container.restart_policy import is_waiting

    return is_waiting(container.state)


def _graph_data(paths: Paths, container: Container, image: Image | None) -> dict[str, str]:
    from rootless_pod.storage.store import Store

    directory = paths.container(container.id)
    layers = reversed(image.layers) if image is not None else ()
    return {
        "LowerDir": ":".join(Store(paths).layer_path(chain) for chain in layers),
        "MergedDir": f"{directory}/merged",
        "UpperDir": f"{directory}/upper",
        "WorkDir": f"{directory}/work",
    }


def mounts_of(paths: Paths, container: Container) -> list[dict[str, Any]]:
    """Return the volumes and binds the user or the image asked for; before the first start, those of the request."""
    from rootless_pod.oci.mountoptions import PROPAGATION

    kept: list[dict[str, Any]] = list(container.state.get("mounts", ()))
    if not kept:
        kept = [
            {
                "Type": one.kind,
                "Name": one.source,
                "Source": f"{paths.volumes}/{one.source}/_data" if one.kind == "volume" else one.source,
                "Destination": one.target,
                "Driver": _volume_driver(paths, one.source) if one.kind == "volume" else "",
                "Mode": "",
                "Options": [word for word in one.options if word not in ("ro", "rw")],
                "RW": "ro" not in one.options,
            }
            for one in container.config.request.mounts
        ]
    shown = []
    for row in kept:
        if row["Type"] not in ("volume", "bind"):
            continue
        propagation = [word for word in row["Options"] if word in PROPAGATION]
        named = {"Type": "volume", "Name": row["Name"]} if row["Type"] == "volume" else {"Type": "bind"}
        options = [word for word in row["Options"] if word not in PROPAGATION]
        changed = {**row, **named, "Options": options, "Propagation": (propagation or ["rprivate"])[0]}
        if row["Type"] == "bind":
            changed.pop("Name", None)
        shown.append({key: changed[key] for key in _MOUNT_FIELDS if key in changed})
    return sorted(shown, key=lambda row: str(row["Type"]) != "volume")


def _volume_driver(paths: Paths, name: str) -> str:
    from rootless_pod.errors import RpodError
    from rootless_pod.volumes.volume import read

    try:
        return read(paths, name).driver
    except RpodError:
        return "local"


_MOUNT_FIELDS = ("Type", "Name", "Source", "Destination", "Driver", "Mode", "Options", "RW", "Propagation")


def ports_of(container: Container, image: Image | None = None) -> dict[str, Any]:
    """Return the published ports as Docker spells them: ``80/tcp`` → host ip and port; exposed ones have none.

    A container without a network of its own has no ports, but those of a pod show the pod's.
    """
    request = container.config.request
    mode = network_mode(container).partition(":")[0]
    if mode in ("none", "host", "ns") or (mode == "container" and not container.config.pod_id):
        return jsontext.Map()
    network = container.state.get("network") or {}
    rows = network.get("ports") or [mapping.as_dict() for mapping in request.network.publish]
    ports: dict[str, Any] = jsontext.Map()
    for row in rows:
        key = f"{row['container_port']}/{row['protocol']}"
        ports.setdefault(key, []).append({"HostIp": row.get("host_ip") or "", "HostPort": str(row["host_port"])})
    exposed = (*request.expose, *(image.config.exposed_ports if image is not None else ()))
    for text in exposed:
        number, _slash, protocol = text.partition("/")
        if "-" not in number:
            ports.setdefault(f"{number}/{protocol or 'tcp'}", NoList())
    return ports


def network_mode(container: Container) -> str:
    """Return the mode that was asked for, or the one that was chosen at the start."""
    chosen = str((container.state.get("network") or {}).get("mode", ""))
    joined = container.config.joined.get("network")
    if joined:
        return f"container:{joined}"
    asked = container.config.request.network.mode
    return asked if asked not in ("", "private", "default") else chosen or "default"


def _network_settings(paths: Paths, container: Container, image: Image | None) -> dict[str, Any]:
    network = container.state.get("network") or {}
    settings = {
        "EndpointID": "",
        "Gateway": network.get("gateway") or "",
        "IPAddress": network.get("ip") or "",
        "IPPrefixLen": 24 if network.get("ip") else 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": network.get("mac") or "",
        "Bridge": "",
        "SandboxID": "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": ports_of(container, image),
        "SandboxKey": network.get("netns_path") or "",
    }
    if container.config.request.network.mode == "bridge" or container.config.joined.get("network"):
        from rootless_pod.container.inspect_networks import with_networks

        return with_networks(paths, container, settings)
    return settings


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
