"""Remove containers: after it nothing of them is left, neither mount nor name nor file. HOT."""

from __future__ import annotations

import os

from rootless_pod import log
from rootless_pod.container.cleanup import attempt, drop_bundle, settle
from rootless_pod.container.dependents import drop, refuse_if_needed
from rootless_pod.container.lookup import read
from rootless_pod.container.status import CREATED, EXITED, INITIALIZED
from rootless_pod.container.tell import tell
from rootless_pod.errors import Conflict, Corrupt, NotFound
from rootless_pod.state import containers, names
from rootless_pod.state.containers import ContainerLock
from rootless_pod.state.events import emit
from rootless_pod.state.record import NewerRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.errors import RpodError
    from rootless_pod.paths import Paths

IN_USE_EXIT_CODE = 2
_REMOVING = ".removing-"
_TRIES = 10


class HoldsPod(Conflict):
    """The container is the infra container of a pod: it goes with the pod only."""


def remove(
    context: Context,
    container_id: str,
    *,
    force: bool = False,
    volumes: bool = False,
    timeout_seconds: int | None = None,
    with_pod: bool = False,
) -> None:
    """Remove a container; ``force`` stops a running one first; ``volumes`` takes its anonymous volumes along.

    ``with_pod``: its pod is being removed, so that it may be the one that holds the pod's namespaces.

    Raises:
        NotFound: it is gone already.
        Conflict: it runs and ``force`` is not given (exit code 2), or its pod or another container needs it.
    """
    try:
        config = read(context.paths, container_id).config
        if config.is_infra and not with_pod and os.path.isdir(context.paths.pod(config.pod_id)):
            raise HoldsPod(
                f"container {container_id} is the infra container of pod {config.pod_id} and cannot be removed"
                " without removing the pod",
                remedy=f"remove the pod: rpod pod rm {config.pod_id[:12]}",
            )
    except (Corrupt, NotFound) as error:
        if not force or not is_wreck(context.paths, container_id, error):
            raise
        _remove_damaged(context, container_id)
        return
    for _try in range(_TRIES):
        # Under the lock no start is under way: what is decided here holds.
        with ContainerLock(context.paths, container_id):
            container = settle(context, read(context.paths, container_id))
            if container.status.name == INITIALIZED:
                container = _end_ready(context, container)
            stopped = container.status.name in (CREATED, EXITED)
            if (stopped or force) and not with_pod:
                refuse_if_needed(context.paths, container_id)
            if stopped:
                take_away(context, container, volumes=volumes)
                return
        if not force:
            raise Conflict(
                f"cannot remove container {container.id[:12]} as it is {container.status.name}",
                remedy=f"stop it first, or remove it with force: rpod rm -f {container.config.name}",
                exit_code=IN_USE_EXIT_CODE,
            )
        from rootless_pod.container.stop import stop

        stop(context, container_id, timeout_seconds=timeout_seconds)
        if container.config.request.auto_remove and not os.path.isdir(context.paths.container(container_id)):
            return
    raise Conflict(
        f"container {container.id[:12]} is started again and again while it is being removed",
        remedy=f"end what starts it, then run: rpod rm -f {container.config.name}",
        exit_code=IN_USE_EXIT_CODE,
    )


def _end_ready(context: Context, container: Container) -> Container:
    """End a container that ``init`` made ready: nothing of its program has run yet."""
    from rootless_pod.container.interrupted import end_start

    end_start(context, container)
    return settle(context, read(context.paths, container.id))


def is_wreck(paths: Paths, container_id: str, error: RpodError) -> bool:
    """Tell whether there is a container that can't be read, and not just none (any more, or yet)."""
    from rootless_pod.container.damaged import is_unborn

    return isinstance(error, Corrupt) or not is_unborn(paths.container(container_id))


def take_away(context: Context, container: Container, *, volumes: bool) -> None:
    """Delete a settled container; the caller holds its lock. Its directory vanishes in one step (a rename).

    Its volumes go before it: after a kill in between they are made anew when it is started, or go with it later.
    """
    paths = context.paths
    if container.state.get("restart"):
        from rootless_pod.container.restart_policy import cancel

        cancel(context, container)
    if volumes:
        for name in unshared_volumes(context, container):
            attempt(_remove_volume, context, name)
    if container.config.dependencies:
        drop(paths, container.id, container.config.dependencies)
    gone = _set_aside(paths, container.id)
    names.release(paths.names("containers"), container.config.name, container.id)
    drop_bundle(context, container.id)
    attempt(_delete_tree, gone)
    tell(paths, container.config, "remove")
    if container.config.request.remove_image and container.config.image_id:
        attempt(_remove_image, context, container.config.image_name or container.config.image_id)


def _set_aside(paths: Paths, container_id: str) -> str:
    """Rename the container's directory to one being removed, and return its path.

    An infra container is made again under its id: what a killed removal left of the last one may bear it too.
    """
    gone = f"{paths.containers}/{_REMOVING}{container_id}"
    try:
        os.rename(paths.container(container_id), gone)
    except FileNotFoundError:
        raise
    except OSError:
        gone = f"{gone}-{os.urandom(4).hex()}"
        os.rename(paths.container(container_id), gone)
    return gone


def anonymous_volumes(container: Container) -> tuple[str, ...]:
    """Return the names of the volumes made for this container alone."""
    return tuple((container.state.get("anonymous_volumes") or {}).values())


def unshared_volumes(context: Context, container: Container) -> tuple[str, ...]:
    """Return the anonymous volumes that no other container mounts (by ``--volumes-from``)."""
    own = anonymous_volumes(container)
    if not own:
        return ()
    from rootless_pod.container.lookup import list_all

    others = [one for one in list_all(context.paths) if one.id != container.id]
    lent = {mount.get("Name") for one in others for mount in one.state.get("mounts", ())}
    return tuple(name for name in own if name not in lent)


def _delete_tree(path: str) -> None:
    from rootless_pod.linux.tree import remove_tree

    try:
        remove_tree(path)
    except OSError as cause:
        log.debug(f"{path} is kept by a mount: {cause}")
        unmount_below(path)
        remove_tree(path)


def _remove_volume(context: Context, name: str) -> None:
    from rootless_pod.volumes.volume import remove as remove_volume

    remove_volume(context.paths, name)


def _remove_image(context: Context, name: str) -> None:
    """Remove the name the container's image was asked for by, and with its last name the image."""
    from rootless_pod.image.remove import remove_image

    remove_image(context.paths, name)


def _remove_damaged(context: Context, container_id: str) -> None:
    """Remove a container whose record can't be read: everything that bears its id."""
    from rootless_pod.container.damaged import end_all, name_of

    paths = context.paths
    log.warn(f"container {container_id[:12]} has a damaged record; removing all that bears its id")
    end_all(context, container_id)
    name = name_of(paths, container_id)
    gone = f"{paths.containers}/{_REMOVING}{container_id}"
    try:
        os.rename(paths.container(container_id), gone)
    except FileNotFoundError:
        return  # another command was faster
    names.release(paths.names("containers"), name, container_id)
    attempt(_delete_tree, gone)
    emit(paths, "container", "remove", id=container_id, name=name)


def unmount_below(directory: str) -> None:
    """Take away every mount at or below ``directory``, whoever left it there."""
    from rootless_pod.linux import mount, procfs

    real = os.path.realpath(directory)
    for point, _kind, _source in reversed(procfs.mount_points()):
        if point == real or point.startswith(f"{real}/"):
            try:
                mount.umount(point)
            except OSError:
                continue  # gone together with one above it


def sweep(context: Context, *, force: bool = False) -> None:
    """Finish what was cut short: containers half made or half removed, and what bears the id of one that is gone.

    With ``force`` containers go too whose record is damaged.
    """
    paths = context.paths
    for name in os.listdir(paths.containers):
        if name.startswith(_REMOVING):
            attempt(_delete_tree, f"{paths.containers}/{name}")
        elif containers.is_id(name):
            drop_unborn(paths, name)
            if force and _is_damaged(context, name):
                attempt(_remove_damaged, context, name)
    for bundle in os.listdir(paths.bundles):
        if _is_orphan(context, bundle):
            drop_bundle(context, bundle)
    _sweep_namespaces(context)
    _sweep_runtimes(context)
    _sweep_trials(context)
    from rootless_pod.container.rename import drop_leftover

    directory = paths.names("containers")
    for name in os.listdir(directory):
        drop_leftover(paths, name)
        holder = names.owner(directory, name)
        if holder is not None and not os.path.isdir(paths.container(holder)):
            names.release(directory, name, holder)
    from rootless_pod.secrets.store import sweep as sweep_secrets
    from rootless_pod.volumes.volume import sweep as sweep_volumes

    _sweep_volume_users(context)
    attempt(sweep_volumes, paths)
    attempt(sweep_secrets, paths)


def _is_orphan(context: Context, container_id: str) -> bool:
    return containers.is_id(container_id) and not os.path.isdir(context.paths.container(container_id))


def _is_damaged(context: Context, container_id: str) -> bool:
    """Tell whether its records can't be read by anybody: those of a newer rpod can be, by that one."""
    try:
        read(context.paths, container_id)
    except NewerRecord:
        return False
    except (Corrupt, NotFound) as error:
        return is_wreck(context.paths, container_id, error)
    return False


def _sweep_namespaces(context: Context) -> None:
    from rootless_pod.network.netns import remove_netns

    for name in os.listdir(context.paths.netns):
        if _is_orphan(context, name):
            attempt(remove_netns, f"{context.paths.netns}/{name}")
    if os.path.isdir(context.paths.leases):
        from rootless_pod.network.named import leave

        attempt(leave, context.paths, "")


def _sweep_volume_users(context: Context) -> None:
    if not os.path.isdir(context.paths.volume_users):
        return
    from rootless_pod.volumes.mounted import container_users, let_go_all

    for user in list(container_users(context.paths)):
        if _is_orphan(context, user):
            attempt(let_go_all, context.paths, user)


def _sweep_runtimes(context: Context) -> None:
    root = context.paths.runtime_root
    for runtime in os.listdir(root):
        for name in os.listdir(f"{root}/{runtime}"):
            if _is_orphan(context, name):
                attempt(_delete_tree, f"{root}/{runtime}/{name}")


def _sweep_trials(context: Context) -> None:
    """Remove what the dead left of trying drivers: it bears its maker's pid, and may have something mounted in it."""
    from rootless_pod.linux import procfs

    for directory in (f"{context.paths.graphroot}/scratch", context.paths.probes):
        for name in os.listdir(directory) if os.path.isdir(directory) else ():
            numbers = [int(word) for word in name.replace("-", ".").split(".") if word.isdigit()]
            unfinished = name.startswith((".", "probe-"))
            if unfinished and numbers and procfs.start_time(numbers[0]) is None:
                attempt(_delete_tree, f"{directory}/{name}")


def drop_unborn(paths: Paths, container_id: str) -> None:
    """Remove a directory that never became a container because its maker was killed; one in the making is left alone.

    The maker holds the lock until the record is written.
    """
    directory = paths.container(container_id)
    if os.path.exists(f"{directory}/container.json"):
        return
    from rootless_pod.container.damaged import is_unborn

    lock = ContainerLock(paths, container_id)
    try:
        if lock.acquire(wait=False) and not os.path.exists(f"{directory}/container.json") and is_unborn(directory):
            drop_directory(directory)
    except (NotFound, FileNotFoundError):
        return
    finally:
        lock.release()


def drop_directory(directory: str) -> None:
    """Remove a container's directory that holds nothing but files."""
    for name in os.listdir(directory):
        os.unlink(f"{directory}/{name}")
    os.rmdir(directory)
