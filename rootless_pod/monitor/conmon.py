"""Create a container under conmon, and run processes in it. Hot.

The contract: conmon gets one end of a socket pair by number in ``_OCI_SYNCPIPE``. At the byte on ``_OCI_STARTPIPE`` it
forks away, calls the runtime's ``create`` and answers with one JSON line; ``start`` is ours to call afterwards. Nothing
is polled. Until that byte nothing of the bundle is read: conmon gets ready while the bundle is written.
Source: conmon 2.1.6 (conmon.c), probed.
"""

from __future__ import annotations

import os
import select

from rootless_pod import jsontext
from rootless_pod.errors import Conflict, HostUnready, ProgramFailed, TimedOut
from rootless_pod.linux import procfs
from rootless_pod.monitor import attach
from rootless_pod.monitor.argv import create_argv, exec_argv
from rootless_pod.monitor.driver import Monitored
from rootless_pod.oci.failure import failure_of, last_message
from rootless_pod.programs import run as programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from rootless_pod.monitor.attach import Attachment
    from rootless_pod.monitor.driver import ExecRequest, MonitorRequest

JOURNAL_SOCKET = "/run/systemd/journal/socket"
CREATE_TIMEOUT_SECONDS = 240.0
_LOOK_AFTER_SECONDS = 1.0
_FIRST_FD = 3
# Variables that name descriptors or sockets of ours: conmon would take them for its own.
_NOT_INHERITED = ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
_PIPES = ("_OCI_SYNCPIPE", "_OCI_STARTPIPE", "_OCI_ATTACHPIPE")


class Waiting:
    """A conmon that waits for the word to create the container; ``create`` or ``abort`` ends the wait."""

    def __init__(self, request: MonitorRequest, conmon_path: str) -> None:
        """Start conmon for ``request``, whose bundle exists and need not be complete.

        Raises:
            HostUnready: conmon is missing, or nothing listens for the journal.
        """
        if request.log_driver == "journald":
            check_journal()
        for directory in (request.exit_dir, request.persist_dir):
            if directory:
                os.makedirs(directory, mode=0o700, exist_ok=True)
        self._request = request
        self._pairs = _Pairs(_PIPES[:2])
        try:
            self._process = _Process(
                create_argv(request, conmon_path),
                self._pairs,
                request.bundle,
                env=request.env,
                preserve=len(request.preserve_fds),
                fds=(*request.preserve_fds, *request.keep_fds),
                standard=(0, 1, 2) if request.log_driver == "passthrough" else None,
            )
        except BaseException:
            self._pairs.close()
            raise

    def create(self, *, timeout_seconds: float = CREATE_TIMEOUT_SECONDS) -> Monitored:
        """Have the container of the bundle created; its process waits for ``Runtime.start``.

        After a failure there is no conmon, no container and no exit file; ``conmon.log`` and ``oci-log`` stay behind.

        Raises:
            NotFound: the command does not exist (exit code 127).
            Refused, ProgramFailed: it cannot be executed or the runtime failed (exit code 126).
            HostUnready: the runtime refuses the host.
            TimedOut: no answer within ``timeout_seconds``; conmon was killed.
        """
        request = self._request
        try:
            self._process.let_go(timeout_seconds)
            conmon_pid = _read_pid(f"{request.bundle}/conmon.pid")
            doing = f"create container {request.container_id[:12]}"
            answer = _answer(self._pairs.ours["_OCI_SYNCPIPE"], conmon_pid, doing, timeout_seconds)
            pid = _container_pid(answer, request.bundle, request.runtime_path, doing)
        finally:
            self._pairs.close()
        return Monitored(pid=pid, conmon_pid=conmon_pid, conmon_started=procfs.start_time(conmon_pid))

    def abort(self) -> None:
        """End a conmon that was not told to create; idempotent, and nothing after ``create``."""
        self._process.kill()
        self._pairs.close()


class ExecSession:
    """A process running in a container under a conmon of its own.

    ``attachment`` is None for a detached one. Close it, or use it as a context manager; the process runs on.
    """

    def __init__(self, monitored: Monitored, attachment: Attachment | None, sync_fd: int) -> None:
        """Take over ``attachment`` and ``sync_fd``."""
        self.monitored = monitored
        self.attachment = attachment
        self._sync_fd = sync_fd

    def wait(self) -> int:
        """Wait for the process to end and return its exit code (128 + n for a signal, -1 if conmon died first)."""
        while True:
            line = os.read(self._sync_fd, 65536)
            if not line:
                return -1
            answer = _parse(line)
            if "data" in answer:
                return int(answer["data"])

    def close(self) -> None:
        """Close our ends; idempotent."""
        if self.attachment is not None:
            self.attachment.close()
        if self._sync_fd >= 0:
            os.close(self._sync_fd)
            self._sync_fd = -1

    def __enter__(self) -> ExecSession:
        """Return the session itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close our ends."""
        self.close()


def start_exec(request: ExecRequest, conmon_path: str) -> ExecSession:
    """Run ``request.process`` in a running container; the answer comes once it runs.

    The attach socket is connected before the process starts, so that no output is lost. After a failure no process
    of the session is left; its directory is the caller's to remove, then and at the end.

    Raises:
        NotFound, Refused, ProgramFailed, HostUnready, TimedOut: as ``start``.
    """
    for directory in (request.directory, f"{request.directory}/exits"):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    process = request.process
    if request.terminal and request.size is not None:
        # The resize below comes too early where conmon has not got the terminal yet.
        process = {**process, "consoleSize": {"height": request.size[0], "width": request.size[1]}}
    _write(f"{request.directory}/process.json", jsontext.dumps(process).encode())
    pairs = _Pairs(_PIPES)
    attachment = None
    try:
        argv = exec_argv(request, conmon_path)
        preserved = request.preserve_fds
        _Process(argv, pairs, request.directory, env=request.env, preserve=len(preserved), fds=preserved).let_go()
        conmon_pid = _read_pid(f"{request.directory}/conmon.pid")
        doing = f"run a process in container {request.container_id[:12]}"
        if request.attached:
            _answer(pairs.ours["_OCI_ATTACHPIPE"], conmon_pid, doing)
            attachment = _connect(request.directory, doing)
            if request.terminal and request.size is not None:
                attach.resize(request.directory, *request.size)
            os.write(pairs.ours["_OCI_STARTPIPE"], b"x")
        answer = _answer(pairs.ours["_OCI_SYNCPIPE"], conmon_pid, doing)
        pid = _container_pid(answer, request.directory, request.runtime_path, doing)
    except BaseException:
        if attachment is not None:
            attachment.close()
        pairs.close()
        raise
    sync_fd = pairs.take("_OCI_SYNCPIPE")
    pairs.close()
    monitored = Monitored(pid=pid, conmon_pid=conmon_pid, conmon_started=procfs.start_time(conmon_pid))
    return ExecSession(monitored, attachment, sync_fd)


def check_journal(socket_path: str = JOURNAL_SOCKET) -> None:
    """Make sure that a journal listens: conmon fails to create a container where none does.

    Raises:
        HostUnready: nothing listens on ``socket_path``.
    """
    import _socket

    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    try:
        probe.connect(socket_path)
    except OSError as cause:
        raise HostUnready(
            f"log driver journald needs a running systemd-journald: {socket_path}: {cause.strerror}",
            remedy="use --log-driver k8s-file",
        ) from cause
    finally:
        probe.close()


class _Process:
    """conmon's first process: it waits for a byte on the start pipe, forks away and ends."""

    def __init__(
        self,
        argv: tuple[str, ...],
        pairs: _Pairs,
        directory: str,
        *,
        env: dict[str, str] | None,
        preserve: int,
        fds: Iterable[int],
        standard: tuple[int, int, int] | None = None,
    ) -> None:
        """Start it. ``fds`` begins with the ``preserve`` descriptors that become 3, 4, … of the container."""
        self._argv, self._log = argv, f"{directory}/conmon.log"
        self._start_fd = pairs.ours["_OCI_STARTPIPE"]
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            inherited = tuple(fds)
            order = (*inherited[:preserve], *pairs.theirs.values(), *inherited[preserve:])
            mapping = dict(enumerate(order, start=_FIRST_FD))
            mapping.update(enumerate(standard or (null, null, log)))
            environment = dict(os.environ if env is None else env)
            for name in (*_NOT_INHERITED, *_PIPES):
                environment.pop(name, None)
            for number, name in enumerate(pairs.theirs, start=_FIRST_FD + preserve):
                environment[name] = str(number)
            self._pid = programs.spawn(argv, fds=mapping, env=environment, new_session=True)
        finally:
            os.close(log)
            os.close(null)
        pairs.close_theirs()

    def let_go(self, timeout_seconds: float = CREATE_TIMEOUT_SECONDS) -> None:
        """Give it the byte it waits for, and return when it has forked away."""
        try:
            os.write(self._start_fd, b"x")
        except BrokenPipeError:
            pass  # it ended by itself: its code and its words say why
        if not programs.ends_within(self._pid, timeout_seconds):
            self.kill()
            raise TimedOut(f"conmon did not begin within {timeout_seconds:.0f} s (ran: {' '.join(self._argv)})")
        pid, self._pid = self._pid, 0
        code = programs.wait(pid)
        if code != 0:
            words = _last_lines(self._log)
            raise ProgramFailed(f"conmon failed: {words or f'exit code {code}'} (ran: {' '.join(self._argv)})")

    def kill(self) -> None:
        """End it, if it was not let go; idempotent."""
        pid, self._pid = self._pid, 0
        if pid:
            _kill(pid)
            programs.wait(pid)


def _container_pid(answer: dict[str, Any], directory: str, runtime_path: str, doing: str) -> int:
    """Return the pid in the runtime's answer."""
    if (pid := int(answer.get("data", -1))) > 0:
        return pid
    words = last_message(_read_text(f"{directory}/oci-log")) or last_message(str(answer.get("message", "")))
    if not words and not answer:
        raise _died(directory, doing)
    words = words or _last_lines(f"{directory}/conmon.log")
    raise failure_of(words, runtime=os.path.basename(runtime_path), doing=doing, command=_command(directory))


def _command(directory: str) -> str | None:
    """Return the command that was to run, for the error: some messages of crun do not name it."""
    for name in ("process.json", "config.json"):
        try:
            document = jsontext.loads(_read_text(f"{directory}/{name}"))
            return str(document.get("process", document)["args"][0])
        except (ValueError, LookupError, TypeError, AttributeError):
            continue
    return None


def _connect(directory: str, doing: str) -> Attachment:
    """Connect to the socket that conmon said is ready."""
    try:
        return attach.connect(directory)
    except Conflict as cause:
        raise _died(directory, doing) from cause


def _died(directory: str, doing: str) -> ProgramFailed:
    """Say that conmon ended without an answer."""
    words = _last_lines(f"{directory}/conmon.log") or last_message(_read_text(f"{directory}/oci-log"))
    return ProgramFailed(f"cannot {doing}: conmon ended without an answer{': ' + words if words else ''}")


def _answer(fd: int, conmon_pid: int, doing: str, timeout_seconds: float = CREATE_TIMEOUT_SECONDS) -> dict[str, Any]:
    """Read one JSON line; empty at the end of file (conmon is gone).

    Where it takes long, it is looked after whether the runtime lives: conmon does not notice in every case.
    """
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    step_seconds, waited, killed = min(_LOOK_AFTER_SECONDS, timeout_seconds), 0.0, False
    while not poller.poll(step_seconds * 1000):
        from rootless_pod.monitor.orphans import end_orphans

        waited += step_seconds
        killed = end_orphans(conmon_pid) or killed
        if waited >= timeout_seconds:
            _kill(conmon_pid)
            raise TimedOut(f"cannot {doing}: conmon gave no answer within {timeout_seconds:.0f} s")
    if killed:
        raise ProgramFailed(f"cannot {doing}: the runtime was killed")
    return _parse(os.read(fd, 1 << 18))


def _parse(line: bytes) -> dict[str, Any]:
    """Decode conmon's answer; a text that is no JSON object is kept as its message."""
    text = line.decode(errors="replace").strip()
    if not text:
        return {}
    try:
        answer = jsontext.loads(text)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {"data": -1, "message": text}


def _kill(pid: int) -> None:
    if pid <= 0:
        return  # it wrote no pid; kill(2) would take 0 for our own process group
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        pass


def _read_pid(path: str) -> int:
    """Return the pid that conmon's first process wrote before it ended."""
    try:
        return int(_read_text(path) or "0")
    except ValueError:
        return 0


def _read_text(path: str) -> str:
    try:
        return procfs.read_text(path)
    except OSError:
        return ""


def _last_lines(path: str) -> str:
    """Return the last three lines of conmon's own log, without what is known to be harmless."""
    lines = [line.strip() for line in _read_text(path).splitlines()]
    return "; ".join([line for line in lines if line and "oom_score_adj" not in line][-3:])


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


class _Pairs:
    """The socket pairs of one conmon, by the name of the variable that carries the number; ours are kept, theirs given.

    SOCK_SEQPACKET, as libpod's: an end that is closed is an end of file for the other, and a line is one packet.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        """Make one pair a name."""
        import _socket

        self.ours: dict[str, int] = {}
        self.theirs: dict[str, int] = {}
        for name in names:
            kind = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC
            left, right = _socket.socketpair(_socket.AF_UNIX, kind)
            self.ours[name], self.theirs[name] = left.detach(), right.detach()

    def take(self, name: str) -> int:
        """Hand our end to the caller, who closes it."""
        return self.ours.pop(name)

    def close_theirs(self) -> None:
        """Close what conmon has by now."""
        _close_all(self.theirs)

    def close(self) -> None:
        """Close what is left; idempotent."""
        _close_all(self.ours)
        _close_all(self.theirs)


def _close_all(fds: dict[str, int]) -> None:
    while fds:
        os.close(fds.popitem()[1])
