"""Root file systems shown to the user: those of containers that run, and of others on demand, inside ``rpod unshare``.

A container that does not run and is shown has ``shown`` in its state: how many times it was asked for. It is written
before anything is mounted, so whoever finds it after a kill knows what to take down.
"""

from __future__ import annotations

from rootless_pod.container.cleanup import settle
from rootless_pod.container.lookup import list_all, read
from rootless_pod.container.tell import tell
from rootless_pod.errors import Conflict
from rootless_pod.state.containers import ContainerLock, write_state
from rootless_pod.storage.rootfs import merged_path, rootfs_is_mounted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container

SHOWN = "shown"


def mount_container(context: Context, container_id: str) -> str:
    """Show a container's root file system and return where; one that is started later takes it over.

    Raises:
        NotFound: the container is gone.
        RpodError: its root file system can't be mounted.
    """
    with ContainerLock(context.paths, container_id):
        container = settle(context, read(context.paths, container_id))
        path = where(context, container) if container.status.is_made else _show(context, container)
        tell(context.paths, container.config, "mount")
        return path


def _show(context: Context, container: Container) -> str:
    """Mount the root file system of a container that does not run, or count one more who looks at it."""
    from rootless_pod.container.prepare import image_of, mount

    times = container.state.get(SHOWN, 0)
    if times and rootfs_is_mounted(paths=context.paths, container_id=container.id):
        write_state(context.paths, container.id, {**container.state, SHOWN: times + 1})
        return where(context, container)
    take_down(context, container)
    state = {**container.state, SHOWN: 1}
    write_state(context.paths, container.id, state)
    image = image_of(context, container.config)
    path = mount(context, container.config, image, state)
    write_state(context.paths, container.id, state)
    return path


def unmount_container(context: Context, container_id: str, *, force: bool = False) -> None:
    """Take back one ``mount_container``; with the last one, or ``force``, nothing is mounted any more. Idempotent.

    Raises:
        Conflict: the container runs.
    """
    with ContainerLock(context.paths, container_id):
        container = settle(context, read(context.paths, container_id))
        if container.status.is_made:
            raise Conflict(
                f"cannot unmount container {container.config.name} as it is {container.status.name}",
                remedy=f"stop it: rpod stop {container.config.name}",
            )
        times = container.state.get(SHOWN, 0)
        if times:
            tell(context.paths, container.config, "unmount")
        if times > 1 and not force:
            write_state(context.paths, container_id, {**container.state, SHOWN: times - 1})
        elif times:
            take_down(context, container)


def take_down(context: Context, container: Container) -> None:
    """Unmount what is shown of a container that does not run, and forget it; the caller holds its lock."""
    if SHOWN not in container.state:
        return
    from rootless_pod.container.drivers import unmount

    unmount(context, container)
    kept = {key: value for key, value in container.state.items() if key not in (SHOWN, "rootfs")}
    write_state(context.paths, container.id, kept)


def mounted(context: Context) -> list[tuple[Container, str]]:
    """Return the containers whose root file systems are mounted, and where, by id."""
    found = [one for one in list_all(context.paths) if one.status.is_made or one.state.get(SHOWN)]
    return [
        (one, where(context, one))
        for one in sorted(found, key=lambda one: one.id)
        if one.status.is_made or rootfs_is_mounted(paths=context.paths, container_id=one.id)
    ]


def where(context: Context, container: Container) -> str:
    """Return where a container's root file system is, mounted or a directory of the user's."""
    request = container.config.request
    if request.rootfs and not request.rootfs_overlay:
        return request.rootfs
    return merged_path(context.paths.container(container.id))
