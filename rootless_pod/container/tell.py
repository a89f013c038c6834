"""What happens to a container, told to the event log. HOT."""

from __future__ import annotations

from rootless_pod.state.events import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.record import ContainerConfig
    from rootless_pod.paths import Paths


def tell(paths: Paths, config: ContainerConfig, action: str, *, exit_code: int | None = None, **more: str) -> None:
    """Write an event of the container, with its labels and ``more`` (such as ``health_status``) as attributes."""
    attributes = {**config.labels, **more}
    if config.request.pod_id:
        attributes["PodID"] = config.request.pod_id
    emit(
        paths,
        "container",
        action,
        id=config.id,
        name=config.name,
        image=config.image_name,
        exit_code=exit_code,
        attributes=attributes,
    )
