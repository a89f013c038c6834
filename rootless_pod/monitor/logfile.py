"""Read and follow a k8s-file log while its monitor writes, truncates or replaces it. Hot."""

from __future__ import annotations

import os
import time

from rootless_pod.linux import procfs
from rootless_pod.monitor.logline import Joiner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless_pod.linux.inotify import Inotify
    from rootless_pod.monitor.logline import LogLine

_BLOCK_BYTES = 1 << 16
_BOTH = ("stdout", "stderr")


def read_log(
    path: str,
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    tail: int | None = None,
    follow: bool = False,
    streams: tuple[str, ...] = _BOTH,
    conmon: tuple[int, int | None] | None = None,
    stop_fd: int | None = None,
) -> Iterator[LogLine]:
    """Yield the lines of the log at ``path``; a log that is not there (yet) has none.

    ``tail`` counts lines from the end, before the times and ``streams`` are looked at (as podman does); where stdout
    and stderr were both in mid-line there, the first line may lack its beginning. ``since_ns`` and ``until_ns`` are
    included. With ``follow`` it goes on until ``conmon`` (pid and start time) has ended, the log is removed,
    ``until_ns`` has passed or ``stop_fd`` is readable; nothing is polled. A line that has not been ended comes as it
    is, with ``ended`` False, once there is nothing more to read.
    """
    log = _Log(path)
    try:
        if tail is not None:
            log.seek_tail(tail)
        lines = _follow(log, conmon, until_ns, stop_fd) if follow else _drain(log, last=True)
        for line in lines:
            if until_ns is not None and line.time_ns > until_ns:
                continue
            if line.stream in streams and (since_ns is None or line.time_ns >= since_ns):
                yield line
    finally:
        log.close()


class _Log:
    """The open log file: hands out whole raw lines, notices truncation and replacement."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.joiner = Joiner()
        self._rest = b""
        self._fd = -1
        self._open()

    def _open(self) -> bool:
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._fd = -1
        return self._fd >= 0

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def raw_lines(self) -> Iterator[bytes]:
        """Yield the whole lines that are there now."""
        if self._fd < 0:
            return
        if os.fstat(self._fd).st_size < os.lseek(self._fd, 0, os.SEEK_CUR):
            os.lseek(self._fd, 0, os.SEEK_SET)  # truncated: what was half read is gone
            self._rest = b""
        while block := os.read(self._fd, _BLOCK_BYTES):
            lines = (self._rest + block).split(b"\n")
            self._rest = lines.pop()
            yield from lines

    def take_rest(self) -> bytes:
        """Return a last line without a line end: the monitor died, or the disk was full, in the middle of it."""
        rest, self._rest = self._rest, b""
        return rest

    def reopen_if_replaced(self) -> bool:
        """Open the file anew if another one has its name; return whether there is more to read for it."""
        if self._fd < 0:
            return self._open()
        try:
            now = os.stat(self.path)
        except FileNotFoundError:
            return False
        if os.path.samestat(now, os.fstat(self._fd)):
            return False
        self.close()
        self._rest = b""
        return self._open()

    def is_removed(self) -> bool:
        """Tell whether the file we read has been removed and nothing has taken its place."""
        return self._fd >= 0 and not os.path.exists(self.path)

    def seek_tail(self, count: int) -> None:
        """Go to where the last ``count`` lines begin."""
        if self._fd < 0:
            return
        os.lseek(self._fd, tail_offset(self._fd, count), os.SEEK_SET)


def tail_offset(fd: int, count: int) -> int:
    """Return the offset in a k8s-file log at which its last ``count`` lines begin; parts (P) belong to their line."""
    end = os.fstat(fd).st_size
    if count <= 0:
        return end
    found = 0
    after = b""  # from the start of the earliest line we have seen whole, back to where the block before it ends
    at = end
    trailing = True
    while at > 0:
        start = max(0, at - _BLOCK_BYTES)
        block = os.pread(fd, at - start, start) + after
        first = 0 if start == 0 else block.find(b"\n") + 1
        if start > 0 and first == 0:
            after, at = block, start
            continue
        position = len(block)
        for raw in reversed(block[first:].split(b"\n")):
            position -= len(raw)
            line_start = start + position
            if raw:
                # Parts at the very end, of a line that is not ended, are a line of their own.
                if _is_whole(raw) or trailing:
                    if found == count:
                        return line_start + len(raw) + 1
                    found += 1
                trailing = False
            position -= 1
        after, at = block[:first], start
    return 0


def _is_whole(raw: bytes) -> bool:
    """Tell whether a raw line ends one of the container's lines."""
    parts = raw.split(b" ", 3)
    return len(parts) < 4 or parts[2] != b"P"


def _drain(log: _Log, *, last: bool) -> Iterator[LogLine]:
    """Yield what is there now; at the very ``last`` also what was half written."""
    for raw in log.raw_lines():
        line = log.joiner.feed(raw)
        if line is not None:
            yield line
    if last and (rest := log.take_rest()):
        line = log.joiner.feed(rest)
        if line is not None:
            yield line.replace(ended=False)
    yield from log.joiner.flush()


def _follow(
    log: _Log, conmon: tuple[int, int | None] | None, until_ns: int | None, stop_fd: int | None
) -> Iterator[LogLine]:
    """Yield lines as they come."""
    from rootless_pod.linux.inotify import IN_CREATE, IN_DELETE, IN_MODIFY, IN_MOVED_TO, Inotify

    directory, name = os.path.split(log.path)
    pidfd = _pidfd(conmon)
    try:
        with Inotify() as changes:
            changes.add(directory, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE)
            running = pidfd is not None or conmon is None
            while running:
                # Read after the watch is set, and before each wait: nothing can slip in between.
                yield from _drain(log, last=False)
                while log.reopen_if_replaced():
                    yield from _drain(log, last=False)
                if log.is_removed():
                    break
                running = _wait(changes, os.fsencode(name), pidfd, until_ns, stop_fd)
        yield from _drain(log, last=True)
    finally:
        if pidfd is not None:
            os.close(pidfd)


def _pidfd(conmon: tuple[int, int | None] | None) -> int | None:
    """Return a pidfd of the monitor, None if it is gone or there is none to wait for."""
    if conmon is None or not procfs.is_alive(*conmon):
        return None
    try:
        return os.pidfd_open(conmon[0])
    except ProcessLookupError:
        return None


def _wait(changes: Inotify, name: bytes, pidfd: int | None, until_ns: int | None, stop_fd: int | None) -> bool:
    """Wait for a change of the log; return False when it is time to stop."""
    import select

    poller = select.poll()
    poller.register(changes.fd, select.POLLIN)
    for fd in (pidfd, stop_fd):
        if fd is not None:
            poller.register(fd, select.POLLIN)
    while True:
        left_ms = None
        if until_ns is not None:
            left_ms = max(0, until_ns - time.time_ns()) / 1_000_000
            if left_ms == 0:
                return False
        ready = {fd for fd, _events in poller.poll(left_ms)}
        if ready - {changes.fd}:
            return False
        if changes.fd in ready and any(event.name in (name, b"") for event in changes.read()):
            return True
