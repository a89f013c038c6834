"""Driver ``pyfuse3``: our own overlay in a Python process, for hosts without kernel overlay and fuse-overlayfs."""

from __future__ import annotations

import os
import select
import signal
import sys

from rootless_pod import jsontext
from rootless_pod.errors import HostUnready, ProgramFailed, TimedOut
from rootless_pod.fuse import server
from rootless_pod.fuse.driver import MountedRootfs
from rootless_pod.linux import mount, procfs
from rootless_pod.programs import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.fuse.driver import RootfsRequest

MODULE = "rootless_pod.fuse.filesystems.serve"
LOG_NAME = "pyfuse3-overlay.log"
READY_SECONDS = 20.0


class Pyfuse3Overlay:
    """Overlay served by our own process; needs only /dev/fuse and the Python package pyfuse3."""

    name = "pyfuse3"
    shifts_ids = True

    def mount(self, request: RootfsRequest) -> MountedRootfs:
        """Start the server and return when the tree is mounted; its log is in ``request.container_dir``.

        Raises:
            HostUnready: pyfuse3 or /dev/fuse is missing.
            ProgramFailed: the server could not mount; the message says why.
            TimedOut: it did not answer; it was killed.
        """
        require_pyfuse3()
        log_path = f"{request.container_dir}/{LOG_NAME}"
        log_fd = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        order_read, order_write = os.pipe2(os.O_CLOEXEC)
        ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                pid = run.spawn(
                    (sys.executable, "-m", MODULE),
                    fds={0: order_read, 1: log_fd, 2: log_fd, 3: ready_write},
                    env=_environment(),
                    new_session=True,
                )
            finally:
                for fd in (order_read, ready_write, log_fd):
                    os.close(fd)
            answer = _converse(request, order_write, ready_read)
        finally:
            os.close(ready_read)
        if answer == b"ok":
            return MountedRootfs(path=request.merged, helper_pid=pid, helper_started=procfs.start_time(pid) or 0)
        _abandon(pid, request.merged)
        if answer is None:
            raise TimedOut(f"our overlay server did not mount {request.merged} within {READY_SECONDS:.0f} s")
        why = answer.decode(errors="replace") or server.last_lines(log_path) or "it ended at once"
        raise ProgramFailed(f"our overlay server cannot mount {request.merged}: {why}")

    def unmount(self, request: RootfsRequest, mounted: MountedRootfs) -> None:
        """Unmount and wait for the server to end; idempotent, also after it was killed."""
        server.end(mounted, keep_data=not request.volatile)

    def probe(self, scratch_dir: str, *, id_shift: bool = False) -> None:
        """Mount two layers and work on them.

        Raises:
            HostUnready: pyfuse3 is not installed, or mounting FUSE is refused here.
        """
        from rootless_pod.fuse.trial import try_driver

        try_driver(self, scratch_dir, id_shift=id_shift)


def require_pyfuse3() -> None:
    """Check, without importing it, that pyfuse3 is installed, and that there is a /dev/fuse we may open.

    Raises:
        HostUnready: one of them is missing.
    """
    import importlib.util

    for package in ("pyfuse3", "trio"):
        if importlib.util.find_spec(package) is None:
            from rootless_pod.programs.package import how_to_install

            remedy = how_to_install("pyfuse3")
            raise HostUnready(f"the Python package {package} is not installed", remedy=remedy)
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError as error:
        remedy = "ask the administrator to load the module: modprobe fuse"
        raise HostUnready("there is no /dev/fuse", remedy=remedy) from error
    except OSError as error:
        remedy = "ask the administrator for: chmod 0666 /dev/fuse"
        raise HostUnready(f"cannot open /dev/fuse: {error.strerror}", remedy=remedy) from error


def _environment() -> dict[str, str]:
    """Return our environment with our module path: we may run without ``site``, or from a source tree."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = ":".join(path for path in sys.path if path)
    environment["PYTHONSAFEPATH"] = "1"
    # One heap for all threads: worker threads would each keep one of their own.
    environment["MALLOC_ARENA_MAX"] = "1"
    return environment


def _converse(request: RootfsRequest, order_write: int, ready_read: int) -> bytes | None:
    """Hand over the order (closing ``order_write``); return the server's answer, or None if it takes too long."""
    from rootless_pod.fuse.filesystems.serve import order_of

    try:
        text = jsontext.dumps(order_of(request))
        left = text if isinstance(text, bytes) else text.encode(errors="surrogateescape")
        while left:
            left = left[os.write(order_write, left) :]
    except BrokenPipeError:
        pass  # it ended already; its answer or its log says why
    finally:
        os.close(order_write)
    poller = select.poll()
    poller.register(ready_read, select.POLLIN)
    answer = b""
    while poller.poll(READY_SECONDS * 1000):
        part = os.read(ready_read, 4096)
        if not part:
            return answer
        answer += part
    return None


def _abandon(pid: int, merged: str) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    run.wait(pid)
    for point, kind, _source in procfs.mount_points():
        if point == os.path.realpath(merged) and kind.startswith("fuse"):
            mount.umount(merged)
            return
