"""What the end of a container means for its pod: the exit policy."""

from __future__ import annotations

from rootless_pod.container.pod.lookup import look
from rootless_pod.container.pod.record import read
from rootless_pod.container.status import CREATED, STARTING
from rootless_pod.errors import Corrupt, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.container.record import ContainerConfig


def member_ended(context: Context, config: ContainerConfig) -> None:
    """Stop the infra container if the pod's policy says so and the last of the others has ended.

    The caller holds no lock of a container.
    """
    if config.is_infra:
        return
    try:
        if read(context.paths, config.pod_id).request.exit_policy != "stop":
            return
        pod = look(context.paths, config.pod_id)
    except (NotFound, Corrupt):
        return
    infra = pod.infra
    if infra is None or any(_is_alive(one) for one in pod.others):
        return
    from rootless_pod.container.stop import stop

    stop(context, infra.id)


def _is_alive(container: Container) -> bool:
    """Tell whether it runs, is being started, or waits to be started again by its restart policy."""
    status = container.status
    starting = container.state.get("status") == STARTING or (status.name == CREATED and status.unsettled)
    return status.is_running or starting or bool(container.state.get("restart"))
