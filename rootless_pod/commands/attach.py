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
    from rootless_pod.container.attached import join
    from rootless_pod.container.run import Foreground
    from rootless_pod.monitor.detachkeys import parse_detach_keys

    ids = selected(call)
    if len(ids) != 1:
        raise Usage("attach takes one container", remedy="name one")
    context = context_of(call)
    foreground = Foreground(
        stdin=not call.flag("no_stdin"),
        detach_keys=parse_detach_keys(call.text("detach_keys")),
        sig_proxy=call.flag("sig_proxy"),
    )
    return join(context, ids[0], foreground)
