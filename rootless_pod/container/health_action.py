"""What is done to a container that turned unhealthy, as asked for with ``--health-on-failure``."""

from __future__ import annotations

from rootless_pod.container.cleanup import settle
from rootless_pod.container.health import UNHEALTHY, read_health
from rootless_pod.container.lookup import read
from rootless_pod.container.stop import end, send_signal, stop
from rootless_pod.errors import Conflict, NotFound
from rootless_pod.linux.signals import SIGKILL
from rootless_pod.state.containers import ContainerLock, write_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context


def act(context: Context, container_id: str) -> None:
    """Kill, stop or restart a container whose last check says so; one that ended meanwhile is left alone.

    A container that a check kills has not been stopped by the user: its restart policy may bring it back.
    """
    try:
        container = read(context.paths, container_id)
        record, request = read_health(context.paths, container_id), container.config.request.health
        if request is None or not container.status.is_running:
            return
        if record.get("StartupFailed"):
            _restart(context, container_id)
        elif record["Status"] != UNHEALTHY:
            return
        elif request.on_failure == "kill":
            send_signal(container, SIGKILL)
        elif request.on_failure == "stop":
            stop(context, container_id)
        elif request.on_failure == "restart":
            _restart(context, container_id)
    except (Conflict, NotFound):
        return


def _restart(context: Context, container_id: str) -> None:
    """End the container, with a word in its record that it is to be started again: the monitor's clean-up does it."""
    with ContainerLock(context.paths, container_id):
        container = settle(context, read(context.paths, container_id))
        if not container.status.is_running or container.state.get("stopped_by_user"):
            return
        write_state(context.paths, container_id, {**container.state, "restart_wanted": True})
    end(container, container.config.request.stop_timeout_seconds)
