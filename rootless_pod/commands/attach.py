"""``rpod attach``: join a running container's streams."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, flag, text
from rootless_pod.commands.selection import LATEST, selected
from rootless_pod.errors import Usage

COMMAND = Command(
    name="attach",
    summary="Attach to a running container",
    help="Shows the container's output from now on, and hands our stdin on if the container was made with -i.",
    options=(
        text("--detach-keys", "Keys that detach (default ctrl-p,ctrl-q)", default="ctrl-p,ctrl-q", metavar="KEYS"),
        LATEST,
        flag("--no-stdin", "Do not hand our stdin on"),
        flag("--sig-proxy", "Hand signals on to the process (default true)", default=True),
    ),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Name or id", completes="container"),),
    examples=("rpod attach web",),
)


def main(call: Call) -> int:
    """Stay with the container until it ends or the keys detach; return its exit code."""
    from rootless_pod.container.exec import running
    from rootless_pod.container.run import Foreground, stay
    from rootless_pod.container.start import Started
    from rootless_pod.container.tell import tell
    from rootless_pod.monitor.attach import connect, resize, stream_signals
    from rootless_pod.monitor.detachkeys import parse_detach_keys
    from rootless_pod.monitor.signals import SignalWatch
    from rootless_pod.monitor.terminal import window_size

    ids = selected(call)
    if len(ids) != 1:
        raise Usage("attach takes one container", remedy="name one")
    context = context_of(call)
    foreground = Foreground(
        stdin=not call.flag("no_stdin"),
        detach_keys=parse_detach_keys(call.text("detach_keys")),
        sig_proxy=call.flag("sig_proxy"),
    )
    container = running(context, ids[0])
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
