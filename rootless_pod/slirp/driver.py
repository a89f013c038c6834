"""What the two user-mode network programs have in common: request, addresses, a started helper, its readiness."""

from __future__ import annotations

import os

from rootless_pod.errors import HostUnready, ProgramFailed, TimedOut
from rootless_pod.frozen import Frozen
from rootless_pod.linux import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol
else:
    Protocol = object

MTU = 65520  # 64 KiB less the headers: at 1500 pasta falls to 0.24 Gb/s (shared figures of both projects).
LOG_NAME = "network.log"
_READY_TIMEOUT_SECONDS = 20.0
# pasta of 2023-03 passes over a capability it may not drop (EPERM), but a child of its own that ends at that moment has
# its signal handler change errno to ECHILD. Seen once in some thousand starts.
_ACCIDENT = "from bounding set: No child processes"


class PortMapping(Frozen):
    """One published port: host address and port to a port of the container."""

    host_ip: str = ""
    host_port: int = 0
    container_port: int
    protocol: str = "tcp"

    def __str__(self) -> str:
        """Write it as podman does: ``0.0.0.0:8080->80/tcp``."""
        address = f"[{self.host_ip}]" if ":" in self.host_ip else self.host_ip or "0.0.0.0"  # noqa: S104 - shown, not bound
        return f"{address}:{self.host_port}->{self.container_port}/{self.protocol}"


class Features(Frozen):
    """What an installed program can do: the long options its ``--help`` names."""

    path: str
    version: str
    flags: tuple[str, ...]

    def has(self, flag: str) -> bool:
        """Tell whether the program knows ``flag`` (``--name``)."""
        return flag in self.flags

    def require(self, flag: str, *, since: Mapping[str, str], wish: str) -> None:
        """Refuse ``wish`` where ``flag`` is missing.

        Raises:
            HostUnready: the installed version is too old.
        """
        if not self.has(flag):
            name = os.path.basename(self.path)
            raise HostUnready(
                f"{wish} needs {name} {flag}, which {self.path} ({self.version}) lacks",
                remedy=f"install {name} {since.get(flag, 'of a newer release')} or later",
            )


class Addresses(Frozen):
    """What the container sees: its own address, the gateway, the DNS forwarder and the host (each None if unknown)."""

    ip: str | None = None
    gateway: str | None = None
    dns: str | None = None
    host: str | None = None


class HelperRequest(Frozen):
    """What one helper is to connect. ``options`` are those after the mode's colon, unparsed."""

    netns_path: str
    run_dir: str
    options: tuple[str, ...] = ()
    publish: tuple[PortMapping, ...] = ()
    mac: str = ""
    ip: str = ""
    ip6: str = ""


class Accident(ProgramFailed):
    """A helper ended by a fault of its own that the next start is most likely spared."""


class Helper:
    """A network program that was started; ``ready_fd`` is read until it says that the network is up."""

    def __init__(self, *, argv: tuple[str, ...], pid: int, ready_fd: int, log_path: str) -> None:
        """Take over the descriptor; note the process's start time at once."""
        self.argv = argv
        self.pid = pid
        self.started = procfs.start_time(pid)
        self.ready_fd = ready_fd
        self.log_path = log_path

    def close(self) -> None:
        """Close the descriptor of ours; idempotent."""
        if self.ready_fd >= 0:
            os.close(self.ready_fd)
        self.ready_fd = -1

    def kill(self) -> None:
        """End the program without waiting for its death (that takes 20 ms); idempotent."""
        kill_helper(self.pid, self.started)


class NetworkDriver(Protocol):
    """One program that connects a network namespace from outside."""

    name: str
    probes_dir: str | None

    def features(self) -> Features:
        """Return what the installed program can do (HostUnready if there is none)."""

    def check(self, request: HelperRequest) -> None:
        """Refuse, before anything is made, a request the program can't fulfil."""

    def addresses(self, request: HelperRequest) -> Addresses:
        """Return what the container will see."""

    def start(self, request: HelperRequest, exit_fd: int) -> Helper:
        """Start the program; it is not ready yet. It ends when the other end of the pipe ``exit_fd`` is closed."""

    def wait_ready(self, request: HelperRequest, helper: Helper) -> None:
        """Return when the network and all published ports work (ProgramFailed, Conflict, TimedOut otherwise)."""

    def api_socket(self, request: HelperRequest) -> str | None:
        """Return the path of the socket that takes commands, if there is one."""


def kill_helper(pid: int, started: int | None, number: int = 9) -> bool:
    """Send a signal (SIGKILL) to ``pid`` if it still is what started at ``started``; return whether it was.

    The pidfd is opened before the start time is compared, so a reused pid is never hit. One of another user is none.
    """
    from rootless_pod.linux import signals

    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not procfs.is_alive(pid, started):
            return False
        signals.send(pidfd, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(pidfd)
    return True


def await_line(helper: Helper, *, timeout_seconds: float = _READY_TIMEOUT_SECONDS) -> bytes:
    """Return the first bytes the program writes to its ready pipe.

    Raises:
        ProgramFailed: it ended (or closed the pipe) without writing; the message has its last lines.
        TimedOut: it wrote nothing in time; it was killed.
    """
    import select

    poller = select.poll()
    poller.register(helper.ready_fd, select.POLLIN)
    if not poller.poll(timeout_seconds * 1000):
        helper.kill()
        raise TimedOut(
            f"{os.path.basename(helper.argv[0])} was not ready within {timeout_seconds:g} s"
            f" (ran: {' '.join(helper.argv)}): {log_tail(helper.log_path)}",
            remedy="run: rpod doctor",
        )
    said = os.read(helper.ready_fd, 64)
    if not said:
        raise failure(helper)
    return said


def failure(helper: Helper) -> ProgramFailed:
    """Make the error for a helper that ended: reap it, quote it, and say what mends the known causes."""
    helper.kill()
    try:
        _pid, status = os.waitpid(helper.pid, 0)
        code = os.waitstatus_to_exitcode(status)
    except ChildProcessError:
        code = 0
    ended = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    tail = log_tail(helper.log_path)
    kind = Accident if _ACCIDENT in tail else ProgramFailed
    return kind(
        f"{os.path.basename(helper.argv[0])} failed: {tail or ended} (ran: {' '.join(helper.argv)})",
        remedy=remedy_for(tail),
    )


def remedy_for(tail: str) -> str:
    """Return what mends the cause that the last lines of a helper name."""
    text = tail.lower()
    # Both helpers need it, and slirp4netns does not say so when it is missing.
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun; load the driver as root: modprobe tun"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "let users open it, as root: chmod 0666 /dev/net/tun"
    if "external interface" in text or "no routable" in text or "default route" in text:
        return "give the host a default route, or use --network slirp4netns"
    if "address already in use" in text or "failed to bind" in text:
        return "publish another host port with -p HOSTPORT:CONTAINERPORT"
    return "run: rpod doctor"


def log_tail(path: str, lines: int = 3) -> str:
    """Return the last lines of a helper's log as one line, without what says nothing."""
    try:
        text = procfs.read_text(path)
    except OSError:
        return ""
    kept = [line.strip() for line in text.splitlines() if line.strip() and "bytes to syslog" not in line]
    return "; ".join(kept[-lines:])


def open_log(run_dir: str) -> int:
    """Open the helper's log in ``run_dir``, emptied."""
    return os.open(f"{run_dir}/{LOG_NAME}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
