"""Remove containers: after it nothing of them is left, neither mount nor name nor file. HOT."""

from __future__ import annotations

import os

from rootless_pod import log
from rootless_pod.container.cleanup import attempt, drop_bundle, settle
from rootless_pod.container.lookup import read
from rootless_pod.container.status import CREATED, EXITED
from rootless_pod.errors import Conflict, Corrupt
from rootless_pod.state import containers, names
from rootless_pod.state.containers import ContainerLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container

IN_USE_EXIT_CODE = 2
_REMOVING = ".removing-"


def remove(
    context: Context,
    container_id: str,
    *,
    force: bool = False,
    volumes: bool = False,
    timeout_seconds: int | None = None,
) -> None:
    """Remove a container; ``force`` stops a running one first; ``volumes`` takes its anonymous volumes along.

    Raises:
        NotFound: it is gone already.
        Conflict: it runs and ``force`` is not given (exit code 2).
    """
    try:
        container = read(context.paths, container_id)
    except Corrupt:
        if not force:
            raise
        _remove_damaged(context, container_id)
        return
    if container.status.is_running and not container.status.lost:
        if not force:
            raise Conflict(
                f"cannot remove container {container.id[:12]} as it is {container.status.name}",
                remedy=f"stop it first, or remove it with force: rpod rm -f {container.config.name}",
                exit_code=IN_USE_EXIT_CODE,
            )
        from rootless_pod.container.stop import stop

        stop(context, container_id, timeout_seconds=timeout_seconds)
    with ContainerLock(context.paths, container_id):
        container = settle(context, read(context.paths, container_id))
        if container.status.name not in (CREATED, EXITED):
            raise Conflict(
                f"container {container.id[:12]} was started again while it was being removed",
                remedy=f"run: rpod rm -f {container.config.name}",
                exit_code=IN_USE_EXIT_CODE,
            )
        take_away(context, container, volumes=volumes)


def take_away(context: Context, container: Container, *, volumes: bool) -> None:
    """Delete a settled container; the caller holds its lock. Its directory vanishes in one step (a rename)."""
    paths = context.paths
    names.release(paths.names("containers"), container.config.name, container.id)
    gone = f"{paths.containers}/{_REMOVING}{container.id}"
    os.rename(paths.container(container.id), gone)
    drop_bundle(context, container.id)
    attempt(_delete_tree, gone)
    if volumes:
        for name in anonymous_volumes(container):
            attempt(_remove_volume, context, name)
    if container.config.request.remove_image and container.config.image_id:
        attempt(_remove_image, context, container.config.image_id)


def anonymous_volumes(container: Container) -> tuple[str, ...]:
    """Return the names of the volumes made for this container alone."""
    return tuple((container.state.get("anonymous_volumes") or {}).values())


def _delete_tree(path: str) -> None:
    from rootless_pod.fuse.remove import remove_tree

    remove_tree(path)


def _remove_volume(context: Context, name: str) -> None:
    from rootless_pod.volumes.volume import remove as remove_volume

    remove_volume(context.paths, name)


def _remove_image(context: Context, image_id: str) -> None:
    from rootless_pod.image.remove import remove_image

    remove_image(context.paths, image_id)


def _remove_damaged(context: Context, container_id: str) -> None:
    """Remove a container whose record can't be read: everything that bears its id."""
    from rootless_pod.container.drivers import unmount_path

    paths = context.paths
    log.warn(f"container {container_id[:12]} has a damaged record; removing all that bears its id")
    attempt(unmount_path, f"{paths.container(container_id)}/merged")
    gone = f"{paths.containers}/{_REMOVING}{container_id}"
    os.rename(paths.container(container_id), gone)
    attempt(_delete_tree, gone)
    drop_bundle(context, container_id)


def sweep(context: Context) -> None:
    """Finish removals that were cut short, and forget names and bundles whose container is gone."""
    paths = context.paths
    for name in os.listdir(paths.containers):
        if name.startswith(_REMOVING):
            attempt(_delete_tree, f"{paths.containers}/{name}")
        elif containers.is_id(name) and not os.path.exists(f"{paths.container(name)}/container.json"):
            attempt(_sweep_unborn, context, name)
    from rootless_pod.volumes.volume import sweep as sweep_volumes

    attempt(sweep_volumes, paths)
    for bundle in os.listdir(paths.bundles):
        if containers.is_id(bundle) and not os.path.isdir(paths.container(bundle)):
            drop_bundle(context, bundle)
    directory = paths.names("containers")
    for name in os.listdir(directory):
        holder = names.owner(directory, name)
        if holder is not None and not os.path.isdir(paths.container(holder)):
            names.release(directory, name, holder)


def _sweep_unborn(context: Context, container_id: str) -> None:
    """Remove a directory that never became a container (its maker was killed), once too old to be in the making."""
    import time

    directory = context.paths.container(container_id)
    if time.time() - os.stat(directory).st_mtime > 60:
        _delete_tree(directory)
