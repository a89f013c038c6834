"""Stop, kill, pause and go on: what is done to a pod is done to its containers, the infra container last."""

from __future__ import annotations

from rootless_pod.container import status as states
from rootless_pod.container.pod.tell import tell
from rootless_pod.errors import NotFound, RpodError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.container.pod.lookup import Pod

    Failures = list[tuple[Container, RpodError]]


def stop_members(context: Context, members: Sequence[Container], *, timeout_seconds: int | None = None) -> None:
    """Stop containers side by side: together they take as long as the slowest.

    Raises:
        RpodError: one did not stop; the others did.
    """
    running = [one for one in members if one.status.is_running or one.status.unsettled]
    failures = side_by_side(running, lambda one: _stop(context, one, timeout_seconds))
    if failures:
        raise failures[0][1]


def stop(context: Context, pod: Pod, *, timeout_seconds: int | None = None) -> Failures:
    """Stop the pod's containers, then the infra container; return those that failed with their errors."""
    failures = side_by_side(
        [one for one in pod.others if one.status.is_running], lambda one: _stop(context, one, timeout_seconds)
    )
    infra = pod.infra
    if infra is not None and infra.status.is_running:
        failures += side_by_side([infra], lambda one: _stop(context, one, timeout_seconds))
    tell(context.paths, pod.config, "stop")
    return failures


def _stop(context: Context, container: Container, timeout_seconds: int | None) -> None:
    from rootless_pod.container.stop import stop as stop_container

    try:
        stop_container(context, container.id, timeout_seconds=timeout_seconds)
    except NotFound:
        return  # one with --rm: it is gone once it has stopped


def kill(context: Context, pod: Pod, number: int) -> Failures:
    """Send a signal to every running container, the infra container last; return those that failed."""
    from rootless_pod.container.stop import kill as kill_container

    running = [one for one in infra_last(pod) if one.status.is_running]
    failures = _each(running, lambda one: kill_container(context, one.id, number))
    tell(context.paths, pod.config, "kill")
    return failures


def pause(context: Context, pod: Pod) -> Failures:
    """Freeze every running container, the infra container last; return those that failed."""
    from rootless_pod.container.pause import pause as pause_container

    running = [one for one in infra_last(pod) if one.status.name == states.RUNNING]
    failures = _each(running, lambda one: pause_container(context, one.id))
    tell(context.paths, pod.config, "pause")
    return failures


def unpause(context: Context, pod: Pod) -> Failures:
    """Let every paused container go on, the infra container first; return those that failed."""
    from rootless_pod.container.pause import unpause as unpause_container

    paused = [one for one in reversed(infra_last(pod)) if one.status.name == states.PAUSED]
    failures = _each(paused, lambda one: unpause_container(context, one.id))
    tell(context.paths, pod.config, "unpause")
    return failures


def infra_last(pod: Pod) -> tuple[Container, ...]:
    """Return the pod's containers in the order in which they are put to rest."""
    return tuple(sorted(pod.members, key=lambda one: one.config.is_infra))


def _each(members: Sequence[Container], action: Callable[[Container], None]) -> Failures:
    """Run ``action`` on each in turn; one that is gone meanwhile is no failure."""
    failures = [(one, _attempt(action, one)) for one in members]
    return [(one, cause) for one, cause in failures if cause is not None and not isinstance(cause, NotFound)]


def side_by_side(members: Sequence[Container], action: Callable[[Container], None]) -> Failures:
    """Run ``action`` on each member in a thread of its own; return those that failed, in order."""
    if len(members) == 1:
        failure = _attempt(action, members[0])
        return [(members[0], failure)] if failure is not None else []
    import threading

    failures: dict[str, RpodError] = {}

    def work(member: Container) -> None:
        failure = _attempt(action, member)
        if failure is not None:
            failures[member.id] = failure

    threads = [threading.Thread(target=work, args=(one,), daemon=True) for one in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [(one, failures[one.id]) for one in members if one.id in failures]


def _attempt(action: Callable[[Container], None], member: Container) -> RpodError | None:
    try:
        action(member)
    except RpodError as cause:
        return cause
    return None
