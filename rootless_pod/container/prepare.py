"""All that a container needs before its runtime is called: mounted root file system, network, spec, bundle. HOT."""

from __future__ import annotations

import os

from rootless_pod import log
from rootless_pod.container.drivers import storage_driver
from rootless_pod.container.limits import own_cgroup
from rootless_pod.container.lookup import read
from rootless_pod.container.volumes import find_volumes
from rootless_pod.errors import Conflict, HostUnready, Refused, RpodError
from rootless_pod.network import attach as networks
from rootless_pod.network.hosts import write_hostname, write_hosts
from rootless_pod.network.mode import BRIDGE, publish_exposed
from rootless_pod.network.resolv import write_resolv_conf
from rootless_pod.spec.bundle import write_bundle
from rootless_pod.spec.devices import is_cdi_name
from rootless_pod.spec.generate import Spec, generate
from rootless_pod.spec.host import read_host_facts
from rootless_pod.spec.prepare import prepare_rootfs
from rootless_pod.spec.rootless import id_shift, plan_mapping
from rootless_pod.state.record import read_bytes, write_bytes
from rootless_pod.storage.rootfs import mount_rootfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.context import Context
    from rootless_pod.container.record import ContainerConfig
    from rootless_pod.linux.cgroup import Delegation
    from rootless_pod.network.attach import Attachment
    from rootless_pod.network.mode import NetworkRequest
    from rootless_pod.network.status import NetworkStatus
    from rootless_pod.oci.image import Image
    from rootless_pod.spec.hooks import Hook
    from rootless_pod.spec.host import HostFacts
    from rootless_pod.spec.rootless import UserMapping

_SQUASHING = "fuse-overlayfs"


class HelperReplaced(RpodError):
    """The network program chosen first failed, and another one works: the start is to be made again with it."""


class Prepared:
    """A bundle the runtime can be called with, and the network that gets ready meanwhile."""

    def __init__(self, bundle: str, spec: Spec, network: Attachment) -> None:
        """Hold what was prepared."""
        self.bundle = bundle
        self.spec = spec
        self._network = network

    def wait_network(self) -> NetworkStatus:
        """Return when the network works.

        Raises:
            HelperReplaced: another program had to take over; the monitor holds the wrong descriptor now.
        """
        before = self._network.keep_fd
        status = self._network.wait_ready()
        if self._network.keep_fd != before:
            raise HelperReplaced(f"the network helper was replaced by {status.helper}")
        return status

    def close(self) -> None:
        """Drop our ends of the network's descriptors."""
        self._network.close()


def prepare(
    context: Context,
    config: ContainerConfig,
    *,
    image: Image | None,
    joined: dict[str, str | None],
    network: Attachment,
    host: HostFacts,
    state: dict[str, Any],
    takes_program: bool = False,
) -> Prepared:
    """Mount and describe the container whose ``network`` has begun.

    ``joined`` is what ``joined_namespaces`` found, ``host`` what ``find_place`` did.
    ``takes_program``: the runtime wants the seccomp filter compiled.
    ``state`` is filled with what a later process needs to put it all away, and written by the caller.

    Raises:
        RpodError: a step failed; what was done before it is in ``state``.
    """
    paths, request = context.paths, config.request
    bundle = paths.bundle(config.id)
    rootfs = mount(context, config, image, state)
    volumes = find_volumes(context, config, image, rootfs, state)
    if "ipc" in joined or request.process.ipc == "shareable":
        from rootless_pod.container.sharedmemory import share

        volumes = share(paths, config, volumes)
    process = request.process
    if request.secrets:
        from rootless_pod.container import secrets

        process = secrets.with_variables(paths, request.secrets, process)
        volumes = (*volumes, *secrets.mounts(bundle, request.secrets))
    hooks: tuple[Hook, ...] = ()
    if any(is_cdi_name(one) for one in process.devices):
        from rootless_pod.container.devices import with_devices

        process, volumes, hooks = with_devices(context, process, volumes, is_infra=config.is_infra)
    spec = generate(
        process,
        container_id=config.id,
        image_config=image.config if image is not None else None,
        rootfs=rootfs,
        netns_path=network.netns_path,
        run_dir=bundle,
        id_map=context.namespace.id_map,
        host=host,
        volumes=volumes,
        namespaces={name: path for name, path in joined.items() if name != "network"},
        cgroups_path=state["cgroup"],
        image_name=config.image_name,
        runtime=os.path.basename(state.get("runtime") or "crun"),
        joined_mapping=user_mapping(context, config) if "user" in joined else None,
    )
    if process.read_only and image is not None and image.is_host:
        from rootless_pod.container.read_only_host import with_read_only_parts

        spec = with_read_only_parts(spec, rootfs)
    if spec.needs_crun and os.path.basename(state.get("runtime") or "") == "runc":
        raise HostUnready(
            f"runc can't run this container: {spec.needs_crun}",
            remedy="ask an administrator to run: apt-get install crun",
        )
    if "NOTIFY_SOCKET" in os.environ and request.sdnotify == "container":
        from rootless_pod.container.sdnotify import with_socket

        spec = with_socket(spec, bundle)
    for note in spec.notes:
        log.warn(note) if "runs as root" in note else log.debug(note)
    if any(one.chown for one in volumes):
        from rootless_pod.volumes.ownership import chown_sources

        chown_sources(volumes, spec.owner, home=os.environ.get("HOME", ""))
    prepare_rootfs(rootfs, spec, own=paths.graphroot)
    if request.secrets:
        secrets.write_files(paths, config.id, request.secrets, spec, context.namespace.id_map)
    _write_names(context, config, bundle, network, spec)
    if context.hooks_dirs or hooks:
        from rootless_pod.container.hooks import with_hooks

        spec = with_hooks(context.hooks_dirs, config, spec, state, bundle, given=hooks)
    write_bundle(bundle, with_compiled_filter(context, spec) if takes_program else spec)
    return Prepared(bundle, spec, network)


def with_compiled_filter(context: Context, spec: Spec) -> Spec:
    """Return the spec with its seccomp profile compiled, once a boot, and handed over as an annotation of crun's.

    The profile stays where it can't be compiled here: crun then does it for each container.
    """
    from rootless_pod.oci.digest import of_bytes
    from rootless_pod.runtime.oci_cli import PROGRAM_ANNOTATION

    if not spec.seccomp:
        return spec
    kept = f"{context.paths.probes}/seccomp-{of_bytes(spec.seccomp.encode())[7:]}"
    try:
        text = read_bytes(kept).decode()
    except OSError:
        text = _compile_filter(kept, spec.seccomp)
    if not text:
        return spec
    annotations = {**spec.config["annotations"], PROGRAM_ANNOTATION: text}
    # bundle.config_text wants "linux" to be the last key.
    config = {key: value for key, value in spec.config.items() if key not in ("annotations", "linux")}
    return spec.replace(config={**config, "annotations": annotations, "linux": spec.config["linux"]}, seccomp="")


def _compile_filter(kept: str, profile: str) -> str:
    from rootless_pod import jsontext
    from rootless_pod.linux.seccomp import Untranslatable, compile_profile
    from rootless_pod.runtime.oci_cli import program_text

    try:
        text = program_text(compile_profile(jsontext.loads(profile)))
    except (Untranslatable, KeyError, TypeError, ValueError) as cause:
        log.debug(f"the seccomp profile is left to the runtime to compile: {cause}")
        text = ""
    write_bytes(kept, text.encode())
    return text


def image_of(context: Context, config: ContainerConfig) -> Image | None:
    """Return the image a container was created from, its layers unpacked; None for ``--rootfs``."""
    if not config.image_id:
        return None
    from rootless_pod.image.acquire import acquire

    return acquire(context.paths, config.image_id, pull_policy="never", single_id=context.namespace.single_id)


def begin_network(
    context: Context, config: ContainerConfig, image: Image | None, joined: dict[str, str | None]
) -> Attachment:
    """Make the network's namespace, or take that of ``joined``, and start what connects it."""
    paths, request = context.paths, network_request(config, image)
    bundle = paths.bundle(config.id)
    if request.mode == BRIDGE:
        from rootless_pod.network import named

        return named.begin(paths, request, container_id=config.id, name=config.name, run_dir=bundle)
    return networks.begin(
        request,
        container_id=config.id,
        run_dir=bundle,
        netns_dir=paths.netns,
        probes_dir=paths.probes,
        join_netns=joined.get("network"),
    )


def network_request(config: ContainerConfig, image: Image | None) -> NetworkRequest:
    """Return the network's slice of the request, with the exposed ports of ``-P`` added."""
    request = config.request
    if not request.publish_all:
        return request.network
    exposed = (*(image.config.exposed_ports if image is not None else ()), *request.expose)
    return request.network.replace(publish=publish_exposed(request.network.publish, exposed))


def mount(context: Context, config: ContainerConfig, image: Image | None, state: dict[str, Any]) -> str:
    """Mount the root file system and return its path; for ``--rootfs DIR`` that is DIR itself."""
    request = config.request
    if image is None and not request.rootfs_overlay:
        return request.rootfs
    mapping = user_mapping(context, config)
    shift = id_shift(mapping, context.namespace.id_map) if mapping is not None else None
    if image is not None and image.is_host:
        shift = None  # the machine's own files show their owners as they are
    if context.paths.additional and image is not None:
        context = _for_foreign(context, image)
    driver = storage_driver(context, state, id_shift=shift is not None)
    state["driver"] = driver.name
    mounted = mount_rootfs(
        paths=context.paths,
        container_id=config.id,
        image=image,
        lower=request.rootfs,
        driver=driver,
        read_only=False,  # the runtime makes it so in the end: until then mount points are made in it
        id_shift=shift,
        volatile=request.auto_remove,
        options=context.storage_options,
    )
    state["rootfs"] = mounted.record.to_json()
    return mounted.path


def _for_foreign(context: Context, image: Image) -> Context:
    """Return the context with the driver that can work on layers of somebody else's ids, where that is needed.

    Raises:
        Refused: another driver was asked for.
    """
    from rootless_pod.storage.foreign import owners_are_unknown

    if not owners_are_unknown(context.paths, image):
        return context
    if context.storage_driver not in (None, _SQUASHING):
        raise Refused(
            f"layers of image {image.id[:12]} in another's store belong to ids that you don't have, "
            f"and storage driver {context.storage_driver} can't change them",
            remedy=f"use --storage-driver {_SQUASHING}, or have the image in your own store: "
            "rpod --storage-opt additionalimagestore= pull NAME",
        )
    # With one id a file can be copied up only as that id's. With more they stay nobody's, which is an id like others.
    squash = ("squash_to_root",) if context.namespace.single_id else ()
    return context.replace(storage_driver=_SQUASHING, storage_options=(*context.storage_options, *squash))


def user_mapping(context: Context, config: ContainerConfig) -> UserMapping | None:
    """Return the container's user namespace, or that of the container whose it joins; None: that joined one too."""
    process, owner = config.request.process, config.joined.get("user")
    if owner is not None:
        process = read(context.paths, owner).config.request.process
    if process.userns.startswith("container:"):
        return None
    return plan_mapping(process.userns, context.namespace.id_map, uidmap=process.uidmap, gidmap=process.gidmap)


def joined_namespaces(context: Context, config: ContainerConfig) -> dict[str, str | None]:
    """Return the files of the namespaces shared with other containers; ``network`` None is the host's.

    Raises:
        Conflict: such a container does not run.
    """
    files: dict[str, str | None] = {}
    for namespace, other_id in config.joined.items():
        other = read(context.paths, other_id)
        if not other.status.is_running or not other.status.pid:
            raise Conflict(
                f"container {other.config.name}, whose {namespace} namespace is to be shared, is not running",
                remedy=f"start it first: rpod start {other.config.name}",
            )
        if namespace == "network":
            files["network"] = (other.state.get("network") or {}).get("netns_path")
        else:
            files[namespace] = f"/proc/{other.status.pid}/ns/{namespace}"
    return files


def find_place(context: Context, config: ContainerConfig, state: dict[str, Any]) -> HostFacts:
    """Return what the spec has to know of the host, and note the container's cgroup in ``state``.

    In a login session this moves our process into a scope of its own: what is to be in it, as the monitor, is started
    afterwards.
    """
    host = read_host_facts()
    state["cgroup"], cgroups = _cgroup(context, config, host.cgroups)
    return host.replace(cgroups=cgroups)


def _cgroup(context: Context, config: ContainerConfig, delegation: Delegation) -> tuple[str | None, Delegation]:
    """Return the container's cgroup and what it lies in: its pod's, or one as it asked for."""
    if config.pod_id:
        from rootless_pod.container.pod.limits import place_of_member

        found = place_of_member(context, config, delegation)
        if found is not None:
            return found
    return own_cgroup(config.request.process, config.id, delegation)


def _write_names(context: Context, config: ContainerConfig, bundle: str, network: Attachment, spec: Spec) -> None:
    """Write hosts, resolv.conf and hostname, which the spec binds into the container.

    Of a pod's network, the first two are the same files for all.
    """
    request = config.request
    hostname = spec.config.get("hostname") or request.process.hostname or os.uname().nodename
    write_hostname(f"{bundle}/hostname", hostname)
    lender = config.joined.get("network") if config.pod_id else None
    if lender is not None:
        for name in ("hosts", "resolv.conf"):
            lent = f"{context.paths.bundle(lender)}/{name}"
            if os.path.exists(lent) and not os.path.exists(f"{bundle}/{name}"):
                os.link(lent, f"{bundle}/{name}")
        return
    rootfs = str(spec.config["root"]["path"])
    write_hosts(
        f"{bundle}/hosts", request.network, network.status, hostname=hostname, container_name=config.name, rootfs=rootfs
    )
    write_resolv_conf(f"{bundle}/resolv.conf", request.network, network.status)
