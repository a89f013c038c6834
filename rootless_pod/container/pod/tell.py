"""What happens to a pod, told to the event log."""

from __future__ import annotations

from rootless_pod.state.events import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.pod.record import PodConfig
    from rootless_pod.paths import Paths


def tell(paths: Paths, config: PodConfig, action: str) -> None:
    """Write an event of the pod, with its labels as attributes."""
    attributes = dict(word.partition("=")[::2] for word in config.request.labels)
    emit(paths, "pod", action, id=config.id, name=config.name, attributes=attributes)
