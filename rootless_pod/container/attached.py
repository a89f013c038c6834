"""Join the streams of a container that runs already: ``attach``, and ``start --attach`` of a running one."""

from __future__ import annotations

from rootless_pod.container.exec import running
from rootless_pod.container.run import stay
from rootless_pod.container.start import Started
from rootless_pod.container.tell import tell
from rootless_pod.errors import Refused
from rootless_pod.monitor.attach import connect, resize, stream_signals
from rootless_pod.monitor.signals import SignalWatch
from rootless_pod.monitor.terminal import window_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.run import Foreground


def join(context: Context, container_id: str, foreground: Foreground) -> int:
    """Stay with the container until it ends or the keys detach; return its exit code.

    Raises:
        Conflict: it does not run.
        Refused: its streams go elsewhere.
    """
    container = running(context, container_id)
    if container.config.request.log.driver == "passthrough":
        raise Refused(
            f"container {container.config.name} has the log driver passthrough: "
            "its streams are those of the command that started it",
            remedy="make it with --log-driver k8s-file",
        )
    bundle = context.paths.bundle(container.id)
    with SignalWatch(stream_signals(proxy=foreground.sig_proxy)) as watch:
        size = window_size(0) if container.config.request.process.terminal and foreground.stdin else None
        if size is not None:
            resize(bundle, *size)
        started = Started(
            id=container.id,
            pid=container.status.pid,
            bundle=bundle,
            conmon_pid=container.state.get("conmon_pid", 0),
            conmon_started=container.state.get("conmon_started"),
            attachment=connect(bundle),
        )
        tell(context.paths, container.config, "attach")
        return stay(context, container.config, started, foreground, watch)
