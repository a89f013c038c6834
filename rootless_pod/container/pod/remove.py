"""Remove pods: first its containers, then the infra container, then the record. Killed anywhere, it can go on."""

from __future__ import annotations

import os

from rootless_pod.container import remove as container_removal
from rootless_pod.container.lookup import list_all
from rootless_pod.container.pod.lookup import look, name_of
from rootless_pod.container.pod.stop import stop_members
from rootless_pod.container.pod.tell import tell
from rootless_pod.container.status import CREATED, EXITED
from rootless_pod.errors import Conflict, NotFound
from rootless_pod.state import names, pods
from rootless_pod.state.pods import PodLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.container.pod.lookup import Pod
    from rootless_pod.paths import Paths

_REMOVING = ".removing-"


def remove(context: Context, pod_id: str, *, force: bool = False, timeout_seconds: int | None = None) -> None:
    """Remove a pod with all its containers and their anonymous volumes; ``force`` stops those that run.

    The infra container is no hindrance. What is damaged goes too.

    Raises:
        NotFound: it is gone already.
        Conflict: a container of it runs and ``force`` is not given.
    """
    with PodLock(context.paths, pod_id):
        try:
            pod = look(context.paths, pod_id)
        except NotFound:
            _take_away(context.paths, pod_id, name_of(context.paths, pod_id))  # its making was cut short
            return
        if not force:
            _refuse_running(pod)
        stop_members(context, pod.others, timeout_seconds=timeout_seconds)
        for member in pod.others:
            _remove_member(context, member.id)
        for infra_id in {one.id for one in pod.members if one.config.is_infra} | {pod.config.infra_id} - {""}:
            _remove_member(context, infra_id)
        from rootless_pod.container.pod.limits import drop_cgroup

        drop_cgroup(context.paths, pod_id)
        _take_away(context.paths, pod_id, pod.config.name)
    tell(context.paths, pod.config, "remove")


def _refuse_running(pod: Pod) -> None:
    running = [one for one in pod.others if one.status.name not in (CREATED, EXITED)]
    if running:
        listed = ", ".join(f"{one.config.name} ({one.status.name})" for one in running)
        raise Conflict(
            f"pod {pod.config.name} has containers that run: {listed}",
            remedy=f"stop it first, or remove it with force: rpod pod rm -f {pod.config.name}",
        )


def _remove_member(context: Context, container_id: str) -> None:
    """Remove one container; whatever is started again meanwhile, and a damaged one, goes too."""
    try:
        container_removal.remove(context, container_id, force=True, volumes=True, timeout_seconds=0, with_pod=True)
    except NotFound:
        return


def _take_away(paths: Paths, pod_id: str, name: str) -> None:
    """Let the pod vanish in one step, then clear away what is left of it."""
    from rootless_pod.linux.tree import remove_tree

    gone = f"{paths.pods}/{_REMOVING}{pod_id}"
    os.rename(paths.pod(pod_id), gone)
    names.release(paths.names(pods.KIND), name, pod_id)
    remove_tree(gone)


def drop_unborn(paths: Paths, pod_id: str) -> None:
    """Remove a directory that never became a pod because its maker was killed; one in the making is left alone."""
    directory = paths.pod(pod_id)
    if any(os.path.exists(f"{directory}/{name}") for name in ("pod.json", pods.SECOND)):
        return
    if any(one.config.pod_id == pod_id for one in list_all(paths)):
        return  # one with containers has lost its record: that can be mended
    lock = PodLock(paths, pod_id)
    try:
        if lock.acquire(wait=False) and not os.path.exists(f"{directory}/pod.json"):
            _take_away(paths, pod_id, name_of(paths, pod_id))
    except (NotFound, FileNotFoundError):
        return
    finally:
        lock.release()


def sweep(paths: Paths) -> None:
    """Finish what was cut short: pods half made or half removed, names whose pod is gone."""
    from rootless_pod.linux.tree import remove_tree

    directory = paths.names(pods.KIND)
    if not os.path.isdir(paths.pods) or not os.path.isdir(directory):
        return
    for entry in os.listdir(paths.pods):
        if entry.startswith(_REMOVING):
            remove_tree(f"{paths.pods}/{entry}")
        else:
            drop_unborn(paths, entry)
    for name in os.listdir(directory):
        holder = names.owner(directory, name)
        if holder is not None and not os.path.isdir(paths.pod(holder)):
            names.release(directory, name, holder)


def orphans(paths: Paths) -> list[Container]:
    """Return the containers whose pod is gone: they can't be started again."""
    known = set(pods.pod_ids(paths))
    return [one for one in list_all(paths) if one.config.pod_id and one.config.pod_id not in known]
