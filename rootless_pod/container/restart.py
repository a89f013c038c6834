"""Stop a container and start it again, in one go: whoever waits for its end finds it running."""

from __future__ import annotations

from rootless_pod.container import status as states
from rootless_pod.container.cleanup import settle
from rootless_pod.container.lookup import read
from rootless_pod.container.start import start
from rootless_pod.container.stop import end, wait_for_monitor
from rootless_pod.container.tell import tell
from rootless_pod.errors import Conflict
from rootless_pod.state.containers import ContainerLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context


def restart(context: Context, container_id: str, *, timeout_seconds: int | None = None) -> None:
    """Stop a container if it runs, and start it.

    The lock is held all the time, so that its clean-up can't remove one made with ``--rm`` in between; killed in
    between, it is one that has ended.

    Raises:
        Conflict: it is paused, or a container it shares namespaces with does not run.
        NotFound: it is gone.
        RpodError: it does not stop, or does not start.
    """
    needed = read(context.paths, container_id).config.dependencies
    if needed:
        from rootless_pod.container.dependents import start_needed

        start_needed(context, needed)
    with ContainerLock(context.paths, container_id):
        container = settle(context, read(context.paths, container_id))
        if container.status.name == states.PAUSED:
            raise Conflict(
                f"container {container.config.name} is paused, it can't be restarted",
                remedy=f"run first: rpod unpause {container.config.name}",
            )
        if container.status.is_running:
            wanted = container.config.request.stop_timeout_seconds
            end(container, wanted if timeout_seconds is None else timeout_seconds)
            settle(context, wait_for_monitor(context, container_id))
        start(context, container.config)
        tell(context.paths, container.config, "restart")
