"""The exit file: how a container ended, as its monitor wrote it. Hot.

conmon writes the decimal code to ``EXIT_DIR/ID`` (a temporary file renamed into place) after it has drained the
standard streams, and ``PERSIST_DIR/oom`` when the kernel killed the container for memory. Source: conmon 2.1.6.
"""

from __future__ import annotations

import os
import time

from rootless_pod.ctime.birth import birth_time
from rootless_pod.linux import procfs
from rootless_pod.monitor.driver import ExitStatus

UNKNOWN_CODE = -1
# After the streams have ended the file comes within a millisecond or two. A watch is no way to wait that little: to
# close an inotify instance the kernel waits for a grace period (measured: 15 ms in a third of all runs, 10 to 24).
_FIRST_LOOKS_SECONDS = (0.0002, 0.0003, 0.0005, 0.001, 0.001, 0.002, 0.003, 0.004, 0.008)


def read_exit(exit_dir: str, container_id: str, *, persist_dir: str = "") -> ExitStatus | None:
    """Return how the container ended, or None while there is no (whole) exit file."""
    try:
        fd = os.open(f"{exit_dir}/{container_id}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        text = os.read(fd, 32).strip()
        # conmon writes -1 where its own time limit ended the container; podman exits with 255 then.
        code = int(text) & 0xFF if text.lstrip(b"-").isdigit() else None
        finished_ns = birth_time(fd).ns
    finally:
        os.close(fd)
    if code is None:
        return None
    oom = bool(persist_dir) and os.path.exists(f"{persist_dir}/oom")
    return ExitStatus(code=code, finished_ns=finished_ns, oom=oom)


def remove_exit(exit_dir: str, container_id: str) -> None:
    """Remove the exit file once its code is stored; idempotent."""
    try:
        os.unlink(f"{exit_dir}/{container_id}")
    except FileNotFoundError:
        pass


def unknown_exit(*, persist_dir: str = "") -> ExitStatus:
    """Return what is known of a container whose monitor died before it could write: that it is over by now."""
    oom = bool(persist_dir) and os.path.exists(f"{persist_dir}/oom")
    return ExitStatus(code=UNKNOWN_CODE, finished_ns=time.time_ns(), oom=oom, known=False)


def wait_exit(
    exit_dir: str,
    container_id: str,
    *,
    conmon_pid: int,
    conmon_started: int | None,
    persist_dir: str = "",
    timeout_seconds: float | None = None,
) -> ExitStatus | None:
    """Wait for the exit file: some short looks, then without polling; return None if it did not come in time.

    A monitor that is gone without having written one makes the status unknown (``code`` -1), at once.
    """
    status = read_exit(exit_dir, container_id, persist_dir=persist_dir)
    if status is not None:
        return status
    pidfd = _open_monitor(conmon_pid, conmon_started)
    try:
        if pidfd is not None:
            status = _wait_for_file(exit_dir, container_id, persist_dir, pidfd, timeout_seconds)
            if status is not None or procfs.is_alive(conmon_pid, conmon_started):
                return status
    finally:
        if pidfd is not None:
            os.close(pidfd)
    # The monitor is gone; what it wrote before it ended still counts.
    return read_exit(exit_dir, container_id, persist_dir=persist_dir) or unknown_exit(persist_dir=persist_dir)


def _open_monitor(pid: int, started: int | None) -> int | None:
    """Return a pidfd of the monitor, or None if it is gone (its number may belong to another process by now)."""
    if pid <= 0:
        return None
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if procfs.is_alive(pid, started):
        return pidfd
    os.close(pidfd)
    return None


def _wait_for_file(
    exit_dir: str, container_id: str, persist_dir: str, pidfd: int, timeout_seconds: float | None
) -> ExitStatus | None:
    """Wait until the exit file is there (return it), the monitor is gone or the time is over (None)."""
    import select

    from rootless_pod.linux.inotify import IN_CLOSE_WRITE, IN_MOVED_TO, Inotify

    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    for pause in _FIRST_LOOKS_SECONDS:
        time.sleep(pause if deadline is None else max(0.0, min(pause, deadline - time.monotonic())))
        status = read_exit(exit_dir, container_id, persist_dir=persist_dir)
        if status is not None:
            return status
    with Inotify() as changes:
        changes.add(exit_dir, IN_MOVED_TO | IN_CLOSE_WRITE)
        poller = select.poll()
        poller.register(changes.fd, select.POLLIN)
        poller.register(pidfd, select.POLLIN)
        while True:
            # Looked for after the watch is set, so that no file can slip in between.
            status = read_exit(exit_dir, container_id, persist_dir=persist_dir)
            if status is not None:
                return status
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = {fd for fd, _events in poller.poll(left)}
            if not ready or pidfd in ready:
                return None
            changes.read()
