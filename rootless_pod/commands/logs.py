"""``rpod logs``: what containers wrote."""

from __future__ import annotations

import os
import time

from rootless_pod.commands.declare import Argument, Call, Command, Option, flag, text
from rootless_pod.commands.moment import moment_ns
from rootless_pod.commands.selection import LATEST, selected
from rootless_pod.errors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from rootless_pod.container.lookup import Container
    from rootless_pod.monitor.logline import LogLine

_COLORS = (37, 31, 33, 34, 35, 36, 32)

COMMAND = Command(
    name="logs",
    summary="Show the logs of a container",
    options=(
        flag("--color", "Show each container's lines in a color of its own"),
        flag("--follow", "Go on with what is written from now on", "-f"),
        LATEST,
        flag("--names", "Put the names of several containers before their lines", "-n"),
        text("--since", "Only lines since a time (RFC 3339, seconds since 1970) or a span such as 10m", metavar="TIME"),
        Option(name="--tail", kind="int", default=-1, metavar="LINES", help="Only the last lines (-1: all)"),
        flag("--timestamps", "Put the time before each line", "-t"),
        text("--until", "Only lines until a time, or a span from now", metavar="TIME"),
    ),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    examples=("rpod logs web", "rpod logs -f --tail 20 web", "rpod logs --since 10m web db"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print the lines of stdout to stdout and those of stderr to stderr."""
    from rootless_pod.container.lookup import read

    return print_logs(call, [read(call.paths, one) for one in selected(call)])


def print_logs(call: Call, found: list[Container]) -> int:
    """Print the logs of these containers, put together by time.

    Raises:
        Refused: one of them keeps none.
    """
    for container in found:
        _require_log(container)
    if len(found) == 1:
        _print(call, found, _lines(call, found[0], 0))
    elif call.flag("follow"):
        return _follow_many(call, found)
    else:
        import heapq

        each = [_lines(call, container, place) for place, container in enumerate(found)]
        _print(call, found, heapq.merge(*each, key=lambda placed: placed[1].time_ns))
    return 0


def _require_log(container: Container) -> None:
    driver = container.config.request.log.driver
    if driver in ("none", "passthrough"):
        raise Refused(
            f"this container is using the '{driver}' log driver, cannot read logs: "
            "this container is not logging output",
            remedy="make it with --log-driver k8s-file",
        )


def _follow_many(call: Call, found: list[Container]) -> int:
    """Follow several logs at once, one process a log: a line is one write, so lines never mix."""
    children = []
    for place, container in enumerate(found):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _print(call, found, _lines(call, container, place))
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    return max(codes)


def _lines(call: Call, container: Container, place: int) -> Iterator[tuple[int, LogLine]]:
    """Yield the lines of a container's log, each with its ``place`` among the containers named."""
    log = container.config.request.log
    tail = call.number("tail")
    wanted: dict[str, Any] = {
        "since_ns": moment_ns(call.text("since"), "--since", ahead=False),
        "until_ns": moment_ns(call.text("until"), "--until", ahead=True),
        "tail": tail if tail is not None and tail >= 0 else None,
        "follow": call.flag("follow") and container.status.is_running,
        "conmon": (container.state.get("conmon_pid", 0), container.state.get("conmon_started")),
    }
    if log.driver == "journald":
        from rootless_pod.monitor.journal import read_journal

        lines = read_journal(container.id, **wanted)
    else:
        from rootless_pod.monitor.logfile import read_log

        lines = read_log(log.path or f"{call.paths.container(container.id)}/ctr.log", **wanted)
    for line in lines:
        yield place, line


def _print(call: Call, found: list[Container], lines: Iterable[tuple[int, LogLine]]) -> None:
    """Print lines as podman does: whose they are only where there are several containers."""
    timestamps, colored = call.flag("timestamps"), call.flag("color")
    prefixes = [b""] * len(found)
    if len(found) > 1:
        names = call.flag("names")
        prefixes = [f"{one.config.name if names else one.id[:12]} ".encode() for one in found]
    for place, line in lines:
        color = _COLORS[place % len(_COLORS)] if colored else 0
        words = _dressed(line, prefixes[place], color, timestamps=timestamps)
        _write_whole(2 if line.stream == "stderr" else 1, words)


def _dressed(line: LogLine, prefix: bytes, color: int, *, timestamps: bool) -> bytes:
    head = b"" if line.continued else prefix + (f"{_timestamp(line.time_ns)} ".encode() if timestamps else b"")
    body = head + line.text
    if color:
        body = b"\033[%dm%b\033[0m" % (color, body)
    return body + b"\n" if line.ended else body


def _timestamp(ns: int) -> str:
    """Return a time as podman writes it here: local, always nine digits."""
    local = time.localtime(ns // 10**9)
    zone = time.strftime("%z", local)
    shown = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{ns % 10**9:09d}{shown}"


def _write_whole(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
