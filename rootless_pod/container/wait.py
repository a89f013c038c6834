"""Wait for a container to end, or to reach a state."""

from __future__ import annotations

import time

from rootless_pod.container import status as states
from rootless_pod.container.cleanup import read_settled, settle
from rootless_pod.container.lookup import read
from rootless_pod.errors import NotFound
from rootless_pod.state.containers import ContainerLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container

_ENDED = frozenset({"stopped", "exited"})
_OF_HEALTH = frozenset({"healthy", "unhealthy"})
_OTHER_NAMES = {"configured": states.CREATED, "stopped": states.EXITED}


def wait_for(
    context: Context, container_id: str, *, conditions: frozenset[str] = frozenset(), interval_seconds: float = 0.25
) -> int:
    """Return the exit code once the container has ended, or -1 once it has reached another of ``conditions``.

    The end is not polled for. A container removed meanwhile has ended, with the code its monitor left behind.

    Raises:
        NotFound: it is gone and nobody knows how it ended.
    """
    if not conditions or conditions <= _ENDED:
        return _wait_for_end(context, container_id)
    wanted = {_OTHER_NAMES.get(condition, condition) for condition in conditions}
    while True:
        try:
            container = read(context.paths, container_id)
        except NotFound:
            return _left_behind(context, container_id)
        status = container.status
        if status.is_running and wanted & _OF_HEALTH and _health(context, container) in wanted:
            return -1
        if status.name in wanted:
            return status.exit_code if status.name == states.EXITED else -1
        time.sleep(interval_seconds)


def _health(context: Context, container: Container) -> str:
    from rootless_pod.container.health import read_health

    return str(read_health(context.paths, container.id).get("Status")) if container.config.request.health else ""


def _wait_for_end(context: Context, container_id: str) -> int:
    from rootless_pod.monitor.exitfile import wait_exit

    while True:
        try:
            container = read_settled(context, container_id)
        except NotFound:
            return _left_behind(context, container_id)
        if not container.status.is_running:
            return container.status.exit_code
        if container.status.lost:
            with ContainerLock(context.paths, container_id):
                return settle(context, read(context.paths, container_id)).status.exit_code
        ended = wait_exit(
            context.paths.exits,
            container_id,
            conmon_pid=container.state.get("conmon_pid", 0),
            conmon_started=container.state.get("conmon_started"),
        )
        if ended is not None and ended.known:
            return ended.code


def _left_behind(context: Context, container_id: str) -> int:
    ended = states.exit_record(context.paths, container_id)
    if ended is None:
        raise NotFound(f"container {container_id[:12]} was removed while waiting", remedy="see: rpod ps -a")
    return ended[0]
