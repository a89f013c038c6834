"""``--dry-run``: print what ``run`` would do, by the same decisions, and do none of it."""

from __future__ import annotations

import os
import sys

from rootless_pod import jsontext
from rootless_pod.container import drivers
from rootless_pod.container.create import joined_containers
from rootless_pod.container.limits import expected_delegation, planned_cgroup
from rootless_pod.container.prepare import network_request
from rootless_pod.container.record import ContainerConfig
from rootless_pod.errors import NotFound
from rootless_pod.image.lookup import lookup
from rootless_pod.network.mode import BRIDGE, parse_network
from rootless_pod.spec.bundle import config_text
from rootless_pod.spec.devices import is_cdi_name
from rootless_pod.spec.generate import generate
from rootless_pod.spec.host import read_host_facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.context import Context
    from rootless_pod.container.request import ContainerRequest
    from rootless_pod.oci.image import Image
    from rootless_pod.oci.runtime import ResolvedMount
    from rootless_pod.spec.hooks import Hook

_ID = "0" * 64


def print_plan(context: Context, request: ContainerRequest) -> int:
    """Print namespaces, drivers, mounts, network, argv and config.json; nothing is pulled, made or mounted.

    Raises:
        RpodError: what ``run`` would refuse.
    """
    if request.pod or request.pod_id_file:
        from rootless_pod.container.pod.join import planned

        request = planned(context, request)
    image = _image(context, request)
    lines = _lines(context, request, image)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _image(context: Context, request: ContainerRequest) -> Image | None:
    if request.rootfs:
        return None
    try:
        return lookup(context.paths, request.image)
    except NotFound as cause:
        raise NotFound(
            f"image {request.image!r} is not here, and a dry run pulls nothing",
            remedy=f"run: rpod pull {request.image}",
        ) from cause


def _lines(context: Context, request: ContainerRequest, image: Image | None) -> list[str]:
    config = ContainerConfig(id=_ID, name=request.name or "(random)", created_ns=0, request=request)
    joined = joined_containers(context, request)
    runtime = drivers.runtime_choice(context)
    storage, storage_reason = _storage(context, image)
    host = read_host_facts()
    host = host.replace(cgroups=expected_delegation(request.process, _ID, host.cgroups))
    rootfs = request.rootfs or f"{context.paths.container(_ID)}/merged"
    accounts = request.rootfs or _layer_with_accounts(context, image)
    netns, network_lines = _network(context, config, image)
    process, mounts = request.process, _planned_mounts(context, request)
    hooks: tuple[Hook, ...] = ()
    if any(is_cdi_name(one) for one in process.devices):
        from rootless_pod.container.devices import with_devices

        process, mounts, hooks = with_devices(context, process, mounts)
    spec = generate(
        process,
        container_id=_ID,
        image_config=image.config if image is not None else None,
        rootfs=accounts,
        netns_path=netns,
        run_dir=context.paths.bundle(_ID),
        id_map=context.namespace.id_map,
        host=host,
        volumes=mounts,
        namespaces=_planned_namespaces(context, joined),
        cgroups_path=planned_cgroup(request.process, _ID, host.cgroups),
    )
    if hooks:
        from rootless_pod.container.hooks import with_config
        from rootless_pod.spec.hooks import by_stage

        spec = with_config(spec, {**spec.config, "hooks": by_stage(hooks)})
    inner: dict[str, Any] = spec.config
    inner["root"]["path"] = rootfs
    user = inner["process"]["user"]
    mapped = ", ".join(f"{one.container_id}→{one.host_id} ({one.size})" for one in context.namespace.id_map.uids)
    return [
        f"user namespace: {context.namespace.reason}; ids {mapped}",
        f"image: {image.names[0] if image is not None and image.names else request.image or request.rootfs}",
        *([f"layers: {len(image.layers)}"] if image is not None else []),
        f"storage: {storage} ({storage_reason})",
        *network_lines,
        f"runtime: {runtime.driver.name} ({runtime.reason})",
        f"monitor: {drivers.conmon_path(context)}",
        "namespaces: " + ", ".join(_namespace(one) for one in inner["linux"]["namespaces"]),
        *(f"id {kind}: {one['containerID']}→{one['hostID']} ({one['size']})"
          for kind in ("uidMappings", "gidMappings") for one in inner["linux"].get(kind, ())),
        *(_mount(one) for one in inner["mounts"]),
        *(f"hook: {hook.stages[0]} {hook.path}" for hook in hooks),
        f"process: {' '.join(inner['process']['args'])}",
        f"user: {user['uid']}:{user['gid']}, directory {inner['process']['cwd']}",
        f"seccomp: {spec.seccomp_name}",
        *(f"note: {note}" for note in spec.notes),
        "config.json: " + jsontext.dumps(jsontext.loads(config_text(spec))),
    ]  # fmt: skip


def _planned_namespaces(context: Context, joined: dict[str, str]) -> dict[str, str | None]:
    """Return the namespaces to join; of a container that is to be started first, by its id in place of a process."""
    from rootless_pod.container.lookup import read

    pids = {other: read(context.paths, other).status.pid or other[:12] for other in joined.values()}
    return {kind: f"/proc/{pids[other]}/ns/{kind}" for kind, other in joined.items() if kind != "network"}


def _namespace(one: dict[str, Any]) -> str:
    path = one.get("path")
    return f"{one['type']}={path}" if path else str(one["type"])


def _mount(one: dict[str, Any]) -> str:
    return f"mount: {one['destination']} {one['type']} from {one['source']} ({','.join(one['options'])})"


def _layer_with_accounts(context: Context, image: Image | None) -> str:
    """Return the tree whose /etc/passwd the container will see: the topmost layer that has one, nothing is mounted."""
    if image is None or image.is_host:
        return "/"
    from rootless_pod.storage.lowers import lower_dirs

    layers = lower_dirs(context.paths.layer_roots, image.layers)
    return next((layer for layer in layers if os.path.exists(f"{layer}/etc/passwd")), layers[0] if layers else "/")


def _storage(context: Context, image: Image | None) -> tuple[str, str]:
    if image is None:
        return "none", "the given directory is the root file system"
    from rootless_pod.fuse.choose import choose_storage

    choice = choose_storage(
        context.storage_driver, probes_dir=context.paths.probes, scratch_dir=f"{context.paths.graphroot}/scratch"
    )
    return choice.driver.name, choice.reason


def _network(context: Context, config: ContainerConfig, image: Image | None) -> tuple[str | None, list[str]]:
    request = network_request(config, image)
    mode = parse_network(request.mode)
    path = f"{context.paths.netns}/{_ID}"
    if mode.kind == "host":
        return None, ["network: host"]
    if mode.kind == BRIDGE:
        from rootless_pod.network.named import resolve

        shown = [
            f"network: {network.name} (bridge {network.interface})"
            for _join, network in resolve(context.paths, request.joins)
        ]
        return path, [*shown, *(f"port: {one}" for one in request.publish)]
    if mode.kind == "none":
        return "", ["network: none"]
    if mode.kind in ("container", "ns"):
        return mode.target if mode.kind == "ns" else path, [f"network: {request.mode}"]
    from rootless_pod.slirp.choose import choose_network, driver_named

    if mode.kind:
        driver, reason = driver_named(mode.kind, context.paths.probes), "asked for"
    else:
        choice = choose_network(probes_dir=context.paths.probes)
        if choice.driver is None:
            return None, [f"network: host ({choice.reason})"]
        driver, reason = choice.driver, choice.reason
    ports = [f"port: {one}" for one in request.publish]
    return path, [f"network: {driver.name} ({reason})", *ports]


def _planned_mounts(context: Context, request: ContainerRequest) -> tuple[ResolvedMount, ...]:
    """Return the mounts asked for; a volume that is not there yet is named, not made."""
    from rootless_pod.oci.runtime import ResolvedMount
    from rootless_pod.volumes.resolve import resolve

    binds = tuple(one for one in request.mounts if one.kind not in ("volume", "image") and not one.overlay)
    planned = list(resolve(binds, paths=context.paths, image_volume="ignore"))
    for one in request.mounts:
        if one.kind in ("volume", "image") or one.overlay:
            source = (
                f"{context.paths.volumes}/{one.source or '(anonymous)'}/_data" if one.kind == "volume" else one.source
            )
            planned.append(ResolvedMount(source=source, target=one.target, options=one.options))
    return tuple(planned)
