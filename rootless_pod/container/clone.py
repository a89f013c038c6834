"""A new container made as another one was, with another name, image or limits. Its files start anew from the image."""

from __future__ import annotations

from rootless_pod.container.create import create
from rootless_pod.container.lookup import read
from rootless_pod.container.prepare import image_of
from rootless_pod.container.update import merged
from rootless_pod.frozen import Frozen
from rootless_pod.state import names
from rootless_pod.state.containers import ContainerLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.context import Context
    from rootless_pod.container.record import ContainerConfig


class CloneRequest(Frozen):
    """How the new container differs: name ("" for NAME-clone), image, pod, and limits as fields of ``SpecRequest``."""

    name: str = ""
    image: str = ""
    pod: str = ""
    limits: dict[str, Any] = {}
    create_command: tuple[str, ...] = ()


def clone(context: Context, container_id: str, wanted: CloneRequest) -> ContainerConfig:
    """Create it and return its record; the container it is made after stays as it is.

    Raises:
        NotFound: there is no such container, or no such image.
        Conflict: the name is taken.
    """
    config = read(context.paths, container_id).config
    request = config.request.replace(
        name=wanted.name or _free_name(context, config.name),
        replace_existing=False,
        cid_file="",
        pid_file="",
        conmon_pid_file="",
        create_command=wanted.create_command,
        process=merged(config.request.process, wanted.limits),
    )
    if wanted.pod:
        request = request.replace(pod=wanted.pod, pod_id="")
    if wanted.image:
        from rootless_pod.container.run import get_image

        request = request.replace(image=wanted.image, rootfs="", rootfs_overlay=False)
        return create(context, request, get_image(context, request))
    return create(context, request, image_of(context, config))


def _free_name(context: Context, name: str) -> str:
    """Return ``NAME-clone``, or with the first number that is free. Source: podman 4.3.1."""
    number = 0
    while True:
        found = f"{name}-clone{number or ''}"
        if names.owner(context.paths.names("containers"), found) is None:
            return found
        number += 1


def destroy(context: Context, container_id: str, *, force: bool) -> None:
    """Remove the container a clone was made after; with ``force`` though it runs.

    Raises:
        Conflict: it runs.
    """
    from rootless_pod.container.remove import remove

    remove(context, container_id, force=force)


def begin(context: Context, config: ContainerConfig) -> None:
    """Start the new container."""
    from rootless_pod.container.start import start

    with ContainerLock(context.paths, config.id):
        start(context, config)
