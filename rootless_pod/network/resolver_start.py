"""Have the names of a network answered: ask the process that does it, start it where there is none."""

from __future__ import annotations

import os
import sys
import time

from rootless_pod import jsontext
from rootless_pod.errors import HostUnready, ProgramFailed
from rootless_pod.programs.run import spawn
from rootless_pod.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.paths import Paths

MODULE = "rootless_pod.network.resolver"
PLACE = ".resolver"
"""The directory of lock, socket and log; no network can have its name."""
_SECONDS = 10.0
_ANSWER_SECONDS = 5.0
_LOG_BYTES = 1_000_000
_READY = "ready"


def start_ahead(paths: Paths, netns_path: str) -> int:
    """Start the process unless one is there, and don't wait; return what ``ensure_resolver`` takes as ``ahead``.

    Raises:
        HostUnready: dnspython is not installed.
    """
    directory = _make_place(paths)
    if _ask(directory, {"netns": _namespace_of(netns_path)}).get("state") == "here":
        return -1
    return _start(paths, directory, netns_path)


def ensure_resolver(paths: Paths, network: str, *, netns_path: str, upstream: tuple[str, ...], ahead: int = -1) -> None:
    """Return when names are answered at the gateway of ``network``, which has a lease.

    Call it inside the user's namespace. ``netns_path``: the shared network namespace; ``upstream``: the servers that
    are reached from there, () for the host's. A process of another namespace ends, and is replaced. ``ahead``, of
    ``start_ahead``, is closed.

    Raises:
        HostUnready: dnspython is not installed.
        ProgramFailed: it can't be had.
    """
    directory = _make_place(paths)
    request = {"network": network, "netns": _namespace_of(netns_path), "upstream": list(upstream)}
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        said = _first_word(directory, ahead) if ahead >= 0 else _READY
        if said != _READY:
            raise ProgramFailed(f"the resolver of named networks does not start: {said}", remedy=_remedy(directory))
        answer = _ask(directory, request)
        if answer.get("state") == "served":
            return
        if answer.get("state") == "fault":
            raise ProgramFailed(f"names of network {network} are not answered: {answer.get('reason')}")
        ahead = _start(paths, directory, netns_path)
        if ahead < 0:
            time.sleep(0.01)  # another command is just starting one, or one is just ending
    raise ProgramFailed("the resolver of named networks does not answer", remedy=_remedy(directory))


def _remedy(directory: str) -> str:
    return f"see {directory}/log; without names: rpod network create --disable-dns"


def _make_place(paths: Paths) -> str:
    directory = f"{paths.leases}/{PLACE}"
    os.makedirs(directory, mode=0o700, exist_ok=True)
    return directory


def _namespace_of(path: str) -> str:
    found = os.stat(path)
    return f"{found.st_dev}:{found.st_ino}"


def _ask(directory: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return what the process says, {} where there is none."""
    import socket

    directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            connection.connect(f"/proc/self/fd/{directory_fd}/socket")
            connection.sendall(jsontext.dumps(request).encode() + b"\n")
            text = b""
            while part := connection.recv(65536):
                text += part
        answer = jsontext.loads(text)
    except (OSError, ValueError):
        return {}
    finally:
        os.close(directory_fd)
    return answer if isinstance(answer, dict) else {}


def _start(paths: Paths, directory: str, netns_path: str) -> int:
    """Start the process and return the pipe on which it says its first word; -1: there is one, or it is being started.

    It gets the lock from us, taken: two can't be started at once.
    """
    require_dnspython()
    lock = Lock(f"{directory}/lock")
    if not lock.acquire(wait=False):
        return -1
    ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
    opened = [ready_write]
    words = ("--root", paths.graphroot, "--runroot", paths.runroot, paths.boot_id, paths.store)
    try:
        log_fd = os.open(f"{directory}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        opened.append(log_fd)
        if os.fstat(log_fd).st_size > _LOG_BYTES:
            os.ftruncate(log_fd, 0)
        netns_fd = os.open(netns_path, os.O_RDONLY | os.O_CLOEXEC)
        opened.append(netns_fd)
        spawn(
            (sys.executable, "-m", MODULE, *words),
            fds={1: log_fd, 2: log_fd, 3: ready_write, 4: netns_fd, 5: lock.fd},
            env=_environment(),
            new_session=True,
        )
    except BaseException:
        os.close(ready_read)
        raise
    finally:
        lock.release()
        for fd in opened:
            os.close(fd)
    return ready_read


def _first_word(directory: str, fd: int) -> str:
    """Return what the process says first, or what it died of; the pipe is closed."""
    import select

    poller = select.poll()
    poller.register(fd, select.POLLIN)
    try:
        said = os.read(fd, 100).decode().strip() if poller.poll(_SECONDS * 1000) else ""
    finally:
        os.close(fd)
    if said:
        return said
    with open(f"{directory}/log", errors="replace") as file:
        return "; ".join(file.read().strip().splitlines()[-1:]) or "it ended at once"


def require_dnspython() -> None:
    """Check, without importing it, that dnspython is installed.

    Raises:
        HostUnready: it is not.
    """
    import importlib.util

    if importlib.util.find_spec("dns") is None:
        from rootless_pod.programs.package import how_to_install

        raise HostUnready(
            "the Python package dnspython is not installed, and without it no container of a network has a name",
            remedy=how_to_install("dnspython"),
        )


def _environment() -> dict[str, str]:
    """Return our environment with our module path: we may run without ``site``, or from a source tree."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = ":".join(path for path in sys.path if path)
    environment["PYTHONSAFEPATH"] = "1"
    return environment
