"""The only door to other programs: spawn with chosen descriptors, or run to the end.

Built on ``os.posix_spawn``: importing ``subprocess`` would cost a hot command 13 ms.
SIGPIPE, which Python ignores, is set back for the child (pasta and others die without it).
"""

from __future__ import annotations

import os
import select
import time

from rootless_pod.errors import HostUnready, ProgramFailed, TimedOut
from rootless_pod.frozen import Frozen
from rootless_pod.linux.signals import SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGQUIT, SIGTERM
from rootless_pod.programs.find import find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_RESET_SIGNALS = (SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD)


class Completed(Frozen):
    """How a program ended; ``code`` is negative for a signal."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes = b""
    stderr: bytes = b""


def spawn(
    argv: Sequence[str],
    *,
    fds: Mapping[int, int] | None = None,
    env: Mapping[str, str] | None = None,
    new_session: bool = False,
) -> int:
    """Start ``argv`` (argv[0] a path or a name to find) and return its pid; the caller reaps it.

    ``fds`` maps the child's descriptor numbers to ours, e.g. ``{0: a, 1: b, 3: sync}``. 0, 1 and 2
    not named are ``/dev/null``, ours, ours. All else is closed (every descriptor of ours is close-on-exec).

    Raises:
        HostUnready: the program is not installed, or the kernel can't run it.
    """
    path = find_program(argv[0])
    if path is None:
        raise HostUnready(f"program {argv[0]} is not installed", remedy="run: rpod doctor")
    wanted = dict(fds or {})
    null = -1
    if 0 not in wanted:
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        wanted[0] = null
    temporary = []
    nowhere = _leave_nowhere()
    actions: list[tuple[int, ...]] = []
    try:
        # A source that is itself another's target number would be overwritten: move it out of the way first.
        targets = set(wanted)
        for target, source in wanted.items():
            moved = source
            if source in targets and source != target:
                moved = _high_duplicate(source)
                temporary.append(moved)
            actions.append((os.POSIX_SPAWN_DUP2, moved, target))
        actions += [(os.POSIX_SPAWN_DUP2, number, number) for number in (1, 2) if number not in wanted]
        environment = dict(os.environ if env is None else env)
        # Only we speak to the systemd that runs us: a runtime would take it for a wish of its container.
        environment.pop("NOTIFY_SOCKET", None)
        return os.posix_spawn(
            path,
            list(argv),
            environment,
            file_actions=actions,
            setsigdef=_RESET_SIGNALS,
            setsigmask=(),
            setsid=new_session,
        )
    except OSError as cause:
        import errno

        # ENOENT: it is there, but what its first line names is not.
        if cause.errno not in (errno.ENOEXEC, errno.EACCES, errno.ENOENT, errno.ELIBBAD):
            raise
        raise HostUnready(f"{path} can't be run: {cause.strerror}", remedy=f"install {argv[0]} anew") from cause
    finally:
        for fd in temporary:
            os.close(fd)
        if null >= 0:
            os.close(null)
        if nowhere >= 0:
            os.fchdir(nowhere)
            os.close(nowhere)


def _leave_nowhere() -> int:
    """Go to ``/`` if our working directory is deleted (conmon would end); return a descriptor to go back by, or -1."""
    try:
        os.getcwd()
    except OSError:
        back = os.open(".", os.O_PATH | os.O_CLOEXEC)
        os.chdir("/")
        return back
    return -1


def _high_duplicate(fd: int) -> int:
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100)


def ends_within(pid: int, timeout_seconds: float) -> bool:
    """Wait until our child ``pid`` has ended, at most so long, without reaping it; return whether it has."""
    handle = os.pidfd_open(pid)
    try:
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        return bool(poller.poll(timeout_seconds * 1000))
    finally:
        os.close(handle)


def wait(pid: int) -> int:
    """Reap ``pid``; return its exit code, or minus the signal number."""
    _pid, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def run(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float | None = None,
    fds: Mapping[int, int] | None = None,
) -> Completed:
    """Run ``argv`` to its end with stdout and stderr captured; any exit code is returned, none raises.

    Raises:
        HostUnready: the program is not installed.
        TimedOut: it did not end in time (it was killed and reaped).
    """
    out_read, out_write = os.pipe2(os.O_CLOEXEC)
    err_read, err_write = os.pipe2(os.O_CLOEXEC)
    in_read, in_write = os.pipe2(os.O_CLOEXEC) if stdin is not None else (-1, -1)
    try:
        wanted = {**(fds or {}), 1: out_write, 2: err_write}
        if in_read >= 0:
            wanted[0] = in_read
        try:
            pid = spawn(argv, fds=wanted, env=env)
        except BaseException:
            for fd in (out_read, err_read, in_write):
                if fd >= 0:
                    os.close(fd)
            raise
    finally:
        for fd in (out_write, err_write, in_read):
            if fd >= 0:
                os.close(fd)
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    stdout, stderr, in_time = _exchange(out_read, err_read, in_write, stdin or b"", deadline)
    if deadline is not None and not (in_time and _ends_by(pid, deadline)):
        os.kill(pid, SIGKILL)
        wait(pid)
        raise TimedOut(f"{os.path.basename(argv[0])} did not end within {timeout_seconds} s: {' '.join(argv)}")
    return Completed(argv=tuple(argv), code=wait(pid), stdout=stdout, stderr=stderr)


def _ends_by(pid: int, deadline: float) -> bool:
    """Wait until ``pid`` has ended, without reaping it: closed outputs do not mean that it has."""
    fd = os.pidfd_open(pid)
    try:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        return bool(poller.poll(max(0.0, deadline - time.monotonic()) * 1000))
    finally:
        os.close(fd)


def _exchange(out_fd: int, err_fd: int, in_fd: int, feed: bytes, deadline: float | None) -> tuple[bytes, bytes, bool]:
    """Feed stdin to its end and drain both outputs until they close; return them and whether it was in time."""
    gathered: dict[int, list[bytes]] = {out_fd: [], err_fd: []}
    open_fds = {out_fd, err_fd}
    poller = select.poll()
    for fd in open_fds:
        poller.register(fd, select.POLLIN)
    if in_fd >= 0:
        os.set_blocking(in_fd, False)
        poller.register(in_fd, select.POLLOUT)
    in_time = True
    while (open_fds or in_fd >= 0) and in_time:
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        ready = poller.poll(left)
        # One that writes without end is late as well.
        in_time = deadline is None or time.monotonic() < deadline
        for fd, _event in ready:
            if fd == in_fd:
                feed = _feed(in_fd, feed)
                if not feed:
                    poller.unregister(in_fd)
                    os.close(in_fd)
                    in_fd = -1
            elif part := os.read(fd, 65536):
                gathered[fd].append(part)
            else:
                poller.unregister(fd)
                open_fds.discard(fd)
    for fd in (out_fd, err_fd, in_fd):
        if fd >= 0:
            os.close(fd)
    return b"".join(gathered[out_fd]), b"".join(gathered[err_fd]), in_time


def _feed(fd: int, feed: bytes) -> bytes:
    """Write what fits; return what is left (nothing when the reader went away)."""
    try:
        return feed[os.write(fd, feed[:65536]) :]
    except BlockingIOError:
        return feed
    except BrokenPipeError:
        return b""


def check(completed: Completed, what: str, *, remedy: str | None = None) -> Completed:
    """Return ``completed`` if its code is 0.

    Raises:
        ProgramFailed: it is not; the message has ``what``, the last lines of stderr and the argv.
    """
    if completed.code != 0:
        tail = "; ".join(completed.stderr.decode(errors="replace").strip().splitlines()[-3:])
        ended = f"signal {-completed.code}" if completed.code < 0 else f"exit code {completed.code}"
        raise ProgramFailed(f"{what}: {tail or ended} (ran: {' '.join(completed.argv)})", remedy=remedy)
    return completed
