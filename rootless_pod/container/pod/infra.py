"""The infra container of a pod: the one that holds the namespaces the others join. It needs no image."""

from __future__ import annotations

import os

from rootless_pod.container.limits import LIMITS
from rootless_pod.container.request import ContainerRequest
from rootless_pod.errors import Conflict, Corrupt, NotFound
from rootless_pod.state.pods import PodLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.pod.record import PodConfig
    from rootless_pod.container.record import ContainerConfig
    from rootless_pod.oci.image import Image
    from rootless_pod.paths import Paths
    from rootless_pod.spec.request import SpecRequest

_SHORT_ID = 12
_MOUNT_POINTS = ("dev", "proc", "run", "sys")


def make(context: Context, pod: PodConfig) -> ContainerConfig:
    """Create the infra container under the id the pod has for it.

    Raises:
        Conflict: its name is taken.
        NotFound: the image of ``--infra-image`` is not there and can't be had.
    """
    from rootless_pod.container.create import create

    request = request_for(context.paths, pod)
    return create(context, request, _image(context, request), container_id=pod.infra_id)


def ensure(context: Context, pod: PodConfig, *, wait: bool = True) -> None:
    """Make the infra container if it is missing: a pod's creation was cut short, or it got lost. Idempotent.

    ``wait`` False for who holds a container's lock: the removal of the pod waits for that one.

    Raises:
        Conflict: somebody makes or removes the pod right now.
        NotFound: the pod is gone.
    """
    record = f"{context.paths.container(pod.infra_id)}/container.json"
    if not pod.infra_id or os.path.exists(record):
        return
    lock = PodLock(context.paths, pod.id)
    if not lock.acquire(wait=wait):
        raise Conflict(f"pod {pod.name} is being made or removed by another rpod", remedy="see: rpod pod ps")
    with lock:
        if not os.path.exists(record):
            _drop_wreck(context, pod.infra_id)
            make(context, pod)


def replace_damaged(context: Context, pod: PodConfig) -> None:
    """Make the infra container anew if it is missing or can't be read. Containers that run keep what they joined."""
    from rootless_pod.container.lookup import read

    try:
        read(context.paths, pod.infra_id)
    except (NotFound, Corrupt):
        with PodLock(context.paths, pod.id):
            _drop_wreck(context, pod.infra_id)
            make(context, pod)


def _drop_wreck(context: Context, infra_id: str) -> None:
    """Clear away what is left of an infra container that can't be read: it holds nothing that is not made anew."""
    from rootless_pod.container.remove import remove

    if os.path.isdir(context.paths.container(infra_id)):
        try:
            remove(context, infra_id, force=True, with_pod=True)
        except NotFound:
            return  # it never became one


def request_for(paths: Paths, pod: PodConfig) -> ContainerRequest:
    """Return what is to be created: the pod's network and user namespace, and nothing of its limits."""
    wanted = pod.request
    process = unlimited(wanted.process).replace(
        hostname=wanted.process.hostname or ("" if wanted.process.uts == "host" else pod.name),
        labels=wanted.labels,
        command=wanted.infra_command,
        ipc="shareable" if "ipc" in wanted.share else "",
    )
    if not wanted.infra_image:
        # Its one program looks at no file and needs no right.
        process = process.replace(
            passwd=False, bind_hosts=False, bind_resolv_conf=False, bind_hostname=False, cap_drop=("all",), user="0:0"
        )
    return ContainerRequest(
        image=wanted.infra_image,
        rootfs="" if wanted.infra_image else f"{paths.container(pod.infra_id)}/rootfs",
        name=wanted.infra_name or f"{pod.id[:_SHORT_ID]}-infra",
        process=process,
        network=wanted.network.replace(hostname=process.hostname),
        mounts=wanted.mounts,
        volumes_from=wanted.volumes_from,
        conmon_pid_file=wanted.infra_conmon_pid_file,
        create_command=wanted.create_command,
        pod=pod.name,
        pod_id=pod.id,
        infra=True,
    )


def unlimited(process: SpecRequest) -> SpecRequest:
    """Return the request without the limits, which belong to the pod as a whole."""
    empty = type(process)()
    return process.replace(**{limit: getattr(empty, limit) for limit in LIMITS}, cgroup_parent="")


def _image(context: Context, request: ContainerRequest) -> Image | None:
    from rootless_pod.container.run import get_image

    return get_image(context, request)


def prepare_rootfs(config: ContainerConfig) -> ContainerConfig:
    """Write the root file system of an infra container without image; return the config with what it runs."""
    if config.request.image:
        return config
    from rootless_pod.container.pod import pause

    for place in _MOUNT_POINTS:  # made here: root of a user namespace of its own may have no right to
        os.makedirs(f"{config.rootfs}/{place}", mode=0o755, exist_ok=True)
    with open(f"{config.rootfs}/run/.containerenv", "ab"):
        pass
    words = pause.command(config.rootfs)
    process = config.request.process.replace(entrypoint=words[0], command=words[1:])
    return config.replace(request=config.request.replace(process=process))


def pod_removed_with(container: ContainerConfig) -> NotFound:
    """Return the error for a container whose pod is gone."""
    return NotFound(
        f"pod {container.pod_id[:_SHORT_ID]} of container {container.name} is gone",
        remedy=f"remove the container: rpod rm -f {container.name}",
    )
