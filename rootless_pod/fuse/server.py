"""The program behind a FUSE mount: start it, know when its tree is up, end it when the tree is gone."""

from __future__ import annotations

import errno
import os
import select

from rootless_pod.errors import HostUnready, ProgramFailed, Refused, TimedOut
from rootless_pod.linux import libc, mount, procfs, signals
from rootless_pod.programs import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless_pod.fuse.driver import MountedRootfs

READY_SECONDS = 10.0
END_SECONDS = 1.0


def start(
    argv: Sequence[str],
    merged: str,
    log_path: str,
    *,
    fds: Mapping[int, int] | None = None,
    env: Mapping[str, str] | None = None,
) -> tuple[int, int]:
    """Start the foreground helper ``argv`` and return (pid, start time) once it has mounted ``merged``.

    The kernel tells of each change of the mount table, so nothing sleeps. Its output goes to ``log_path``.
    After a failure neither the helper nor its mount is there.

    Raises:
        ProgramFailed: it ended without mounting; the message has its last lines.
        TimedOut: it did not mount within ``READY_SECONDS``.
    """
    if not os.path.exists("/dev/fuse"):
        raise HostUnready("there is no /dev/fuse", remedy="ask the administrator to load the module: modprobe fuse")
    where = os.path.realpath(merged)
    table = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
    log_fd = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    watched = -1
    try:
        poller = select.poll()
        _is_mounted(table, where)  # reading arms the notice of changes
        pid = run.spawn(argv, fds={**(fds or {}), 1: log_fd, 2: log_fd}, env=env, new_session=True)
        watched = os.pidfd_open(pid)
        poller.register(table, select.POLLPRI)
        poller.register(watched, select.POLLIN)
        failure = _await(poller, watched, table, where)
        if failure is None:
            return pid, procfs.start_time(pid) or 0
        if failure == "timeout":
            os.kill(pid, signals.SIGKILL)
    finally:
        for fd in (table, log_fd, watched):
            if fd >= 0:
                os.close(fd)
    code = run.wait(pid)
    _unmount_quietly(merged)
    if failure == "timeout":
        raise TimedOut(f"{os.path.basename(argv[0])} did not mount {merged} within {READY_SECONDS:.0f} s")
    raise ProgramFailed(
        f"{os.path.basename(argv[0])} cannot mount {merged}: {last_lines(log_path) or f'exit code {code}'} "
        f"(ran: {' '.join(argv)})"
    )


def _await(poller: select.poll, watched: int, table: int, where: str) -> str | None:
    import time

    deadline = time.monotonic() + READY_SECONDS
    while True:
        if _is_mounted(table, where):
            return None
        left = deadline - time.monotonic()
        if left <= 0:
            return "timeout"
        ready = dict(poller.poll(left * 1000))
        if watched in ready:
            return "ended"


def _is_mounted(table: int, where: str) -> bool:
    """Tell whether the mount table shows a FUSE mount at ``where``."""
    os.lseek(table, 0, os.SEEK_SET)
    parts = []
    while part := os.read(table, 65536):
        parts.append(part)
    for line in reversed(b"".join(parts).split(b"\n")):
        left, _dash, right = line.partition(b" - ")
        if right.startswith(b"fuse"):
            point = left.split(b" ")[4].decode(errors="surrogateescape")
            if procfs.unescape(point) == where:
                return True
    return False


def last_lines(log_path: str, count: int = 3) -> str:
    """Return the last lines of a helper's output in one line of text ("" if there are none)."""
    try:
        text = procfs.read_text(log_path)
    except OSError:
        return ""
    return "; ".join(text.strip().splitlines()[-count:])


def end(mounted: MountedRootfs, *, keep_data: bool) -> None:
    """Unmount ``mounted.path`` and end its helper; idempotent, whoever of the two is gone already.

    With ``keep_data`` what was written is handed to the helper first, even if the mount is still in use.

    Raises:
        Refused: the kernel keeps the tree mounted.
    """
    for _layer in range(16):
        try:
            mount.umount(mounted.path, mount.UMOUNT_NOFOLLOW)
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.ENOENT, errno.ENOTDIR}:
                break
            if error.errno != errno.EBUSY:
                raise Refused(f"cannot unmount {mounted.path}: {error.strerror}") from error
            if keep_data:
                _write_back(mounted.path)
            _unmount_quietly(mounted.path)
    _end_helper(mounted.helper_pid, mounted.helper_started)


def _write_back(path: str) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return  # the helper is gone: there is nobody to write to
    try:
        libc.call("syncfs", fd)
    except OSError:
        pass
    finally:
        os.close(fd)


def _unmount_quietly(path: str) -> None:
    try:
        mount.umount(path)
    except OSError:
        pass


def _end_helper(pid: int | None, started: int | None) -> None:
    """Wait for the helper to end by itself, then ask, then kill; a pid that is another process by now is left alone."""
    if pid is None:
        return
    try:
        watched = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if not procfs.is_alive(pid, started):
            return
        poller = select.poll()
        poller.register(watched, select.POLLIN)
        for number in (None, signals.SIGTERM, signals.SIGKILL):
            if number is not None:
                signals.send(watched, number)
            if poller.poll(END_SECONDS * 1000):
                break
    except ProcessLookupError:
        pass
    finally:
        os.close(watched)
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass  # another process started it; whoever adopted it reaps it
