"""``rpod start``: containers that exist. HOT."""

from __future__ import annotations

import os
import time

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, flag, text
from rootless_pod.commands.selection import FILTER, LATEST, for_each, selected, shown
from rootless_pod.container.status import PAUSED
from rootless_pod.errors import Conflict, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.state.lock import Lock
_RETRY_SECONDS = 0.01

COMMAND = Command(
    name="start",
    summary="Start containers",
    help="Starts containers that were created or have exited, with everything they were created with.",
    options=(
        flag("--all", "Start all containers that do not run"),
        flag("--attach", "Stay with the container: print its output, exit with its code", "-a"),
        text("--detach-keys", "Keys that detach (default ctrl-p,ctrl-q)", default="ctrl-p,ctrl-q", metavar="KEYS"),
        FILTER,
        flag("--interactive", "With --attach: hand our stdin on", "-i"),
        LATEST,
        flag("--sig-proxy", "With --attach: hand signals on to the process (default true)", default=True),
    ),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    examples=("rpod start web", "rpod start -a job"),
)


def main(call: Call) -> int:
    """Start each container named; with ``--attach`` just one, in the foreground."""
    context = context_of(call)
    ids = selected(call, among=lambda one: not one.status.is_running)
    if not (call.flag("attach") or call.flag("interactive")):
        return for_each(ids, lambda one: _start(context, one, shown(call, one)))
    if len(ids) != 1:
        raise Usage("--attach takes one container", remedy="start the others without --attach")
    return _start_attached(call, context, ids[0])


def _start(context: Context, container_id: str, shown: str) -> str:
    from rootless_pod.container.lookup import read
    from rootless_pod.container.start import start
    from rootless_pod.state.containers import ContainerLock

    _start_needed(context, read(context.paths, container_id))
    with ContainerLock(context.paths, container_id):
        container = read(context.paths, container_id)
        if container.status.name == PAUSED:
            raise Conflict(
                f"container {container.config.name} is paused, it can't be started",
                remedy=f"run: rpod unpause {container.config.name}",
            )
        if not container.status.is_running:
            start(context, container.config)
    return shown


def _start_needed(context: Context, container: Container) -> None:
    if container.config.dependencies and not container.status.is_running:
        from rootless_pod.container.dependents import start_needed

        start_needed(context, container.config.dependencies)


def _take_foreground(context: Context, container_id: str, lock: Lock) -> None:
    """Take the foreground's lock; the clean-up of the last run may still hold it for a moment.

    Raises:
        Conflict: the container runs in the foreground of another command.
    """
    from rootless_pod.container.lookup import read

    while not lock.acquire(wait=False):
        container = read(context.paths, container_id)
        if container.status.is_running:
            raise Conflict(
                f"container {container.config.name} runs in the foreground of another command already",
                remedy=f"attach to it: rpod attach {container.config.name}",
            )
        time.sleep(_RETRY_SECONDS)


def _start_attached(call: Call, context: Context, container_id: str) -> int:
    from rootless_pod.container.lookup import read
    from rootless_pod.container.run import Foreground, stay
    from rootless_pod.container.start import start
    from rootless_pod.monitor.attach import stream_signals
    from rootless_pod.monitor.detachkeys import parse_detach_keys
    from rootless_pod.monitor.signals import SignalWatch
    from rootless_pod.state.containers import FOREGROUND, ContainerLock

    container = read(context.paths, container_id)
    config = container.config
    foreground = Foreground(
        stdin=call.flag("interactive"),
        detach_keys=parse_detach_keys(call.text("detach_keys")),
        sig_proxy=call.flag("sig_proxy"),
    )
    if container.status.is_running:
        from rootless_pod.container.attached import join

        return join(context, container_id, foreground)
    _start_needed(context, container)
    lock = ContainerLock(context.paths, container_id, FOREGROUND)
    with SignalWatch(stream_signals(proxy=foreground.sig_proxy)) as watch:
        _take_foreground(context, container_id, lock)
        with lock:
            with ContainerLock(context.paths, container_id):
                started = start(context, config, attached=True)
            if not call.flag("attach"):
                os.write(1, f"{config.name}\n".encode())
            return stay(context, config, started, foreground, watch)
