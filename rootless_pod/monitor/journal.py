"""Read what a container with the log driver journald wrote, through journalctl(1).

conmon sends each line with the fields CONTAINER_ID_FULL, PRIORITY (6: stdout, 3: stderr) and, where the line goes on,
CONTAINER_PARTIAL_MESSAGE. A user may read the entries of their own processes. Source: conmon 2.1.6 (ctr_logging.c).
"""

from __future__ import annotations

import os
import select

from rootless_pod import jsontext
from rootless_pod.errors import HostUnready, ProgramFailed
from rootless_pod.linux import procfs
from rootless_pod.monitor.logline import LogLine
from rootless_pod.programs import run as programs
from rootless_pod.programs.find import find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_BLOCK_BYTES = 1 << 16
_STDERR_PRIORITY = "3"


def read_journal(
    container_id: str,
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    tail: int | None = None,
    follow: bool = False,
    conmon: tuple[int, int | None] | None = None,
    program: str = "journalctl",
) -> Iterator[LogLine]:
    """Yield the lines of a container; with ``follow`` those to come too, until its monitor has ended.

    Raises:
        HostUnready: journalctl is not installed.
        ProgramFailed: it failed.
    """
    path = find_program(program)
    if path is None:
        raise HostUnready(
            "the log is in the journal, and journalctl is not installed",
            remedy="make containers with --log-driver k8s-file",
        )
    base = (path, "-q", "--no-pager", "-o", "json", "--all", f"CONTAINER_ID_FULL={container_id}")
    count = () if tail is None else ("-n", str(tail))
    reading = _Reading()
    for entry in _entries((*base, *count)):
        yield from _within(reading.line(entry), since_ns, until_ns)
    while follow and conmon is not None and procfs.is_alive(*conmon):
        _wait_for_more(base, reading.cursor, conmon)
        for entry in _entries((*base, *(("--after-cursor", reading.cursor) if reading.cursor else ()))):
            yield from _within(reading.line(entry), since_ns, until_ns)
    yield from _within(reading.rest(), since_ns, until_ns)


def _within(lines: list[LogLine], since_ns: int | None, until_ns: int | None) -> list[LogLine]:
    return [
        line
        for line in lines
        if (since_ns is None or line.time_ns >= since_ns) and (until_ns is None or line.time_ns <= until_ns)
    ]


class _Reading:
    """Joins the parts of lines; knows the last entry seen."""

    def __init__(self) -> None:
        self.cursor = ""
        self._held: dict[str, list[bytes]] = {}
        self._last_ns = 0

    def line(self, entry: dict[str, Any]) -> list[LogLine]:
        """Take one entry; return the line that it ends, if it does."""
        self.cursor = str(entry.get("__CURSOR", self.cursor))
        stream = "stderr" if str(entry.get("PRIORITY")) == _STDERR_PRIORITY else "stdout"
        self._last_ns = int(entry.get("__REALTIME_TIMESTAMP", 0)) * 1000
        self._held.setdefault(stream, []).append(_text(entry.get("MESSAGE")))
        if entry.get("CONTAINER_PARTIAL_MESSAGE") == "true":
            return []
        return [self._take(stream, ended=True)]

    def _take(self, stream: str, *, ended: bool) -> LogLine:
        text = b"".join(self._held.pop(stream))
        return LogLine(timestamp="", time_ns=self._last_ns, stream=stream, text=text, ended=ended)

    def rest(self) -> list[LogLine]:
        """Return the beginnings of lines that were never ended."""
        return [self._take(stream, ended=False) for stream in sorted(self._held)]


def _text(message: Any) -> bytes:
    """Return a message, which conmon ends as the container did: text, or a list of bytes where it is not UTF-8."""
    if message is None:
        return b""
    text = bytes(message) if isinstance(message, list) else str(message).encode(errors="surrogatepass")
    return text.removesuffix(b"\n")


def _entries(argv: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    out_read, out_write = os.pipe2(os.O_CLOEXEC)
    err_read, err_write = os.pipe2(os.O_CLOEXEC)
    try:
        pid = programs.spawn(argv, fds={1: out_write, 2: err_write})
    finally:
        os.close(out_write)
        os.close(err_write)
    rest = b""
    try:
        while block := os.read(out_read, _BLOCK_BYTES):
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            for line in lines:
                yield jsontext.loads(line)
    finally:
        os.close(out_read)
        said = os.read(err_read, _BLOCK_BYTES).decode(errors="replace").strip()
        os.close(err_read)
        code = programs.wait(pid)
    if code not in (0, 1) or (code == 1 and said):  # 1 without a word: there are no entries
        raise ProgramFailed(f"cannot read the journal: journalctl: {said or f'exit code {code}'}")


def _wait_for_more(base: tuple[str, ...], cursor: str, conmon: tuple[int, int | None]) -> None:
    """Return once there is an entry after ``cursor``, or the monitor has ended."""
    try:
        handle = os.pidfd_open(conmon[0])
    except ProcessLookupError:
        return
    out_read, out_write = os.pipe2(os.O_CLOEXEC)
    try:
        after = ("--after-cursor", cursor) if cursor else ("-n", "all")
        pid = programs.spawn((*base, *after, "-f"), fds={1: out_write})
        os.close(out_write)
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        poller.register(out_read, select.POLLIN)
        poller.poll()
        os.kill(pid, 15)
        programs.wait(pid)
    finally:
        os.close(handle)
        os.close(out_read)
