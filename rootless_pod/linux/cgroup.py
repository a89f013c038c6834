"""Which cgroups this user may write. No ctypes. Source: cgroups(7), Documentation/admin-guide/cgroup-v2.rst."""

from __future__ import annotations

import errno
import os

from rootless_pod.frozen import Frozen
from rootless_pod.linux.procfs import read_text

ROOT = "/sys/fs/cgroup"
_UNITS = (".scope", ".service")
_TRIES = 20


class Delegation(Frozen):
    """What the machine's cgroups let this user do.

    ``layout`` is ``v2``, ``hybrid``, ``v1`` or ``none``. ``path`` is the highest cgroup of ours above (or at) this
    process, as a path below the cgroup root (``/user.slice/…``), or "" if none is writable; ``controllers`` are
    those it may hand to children, ``enabled`` those it does hand to them.
    """

    layout: str
    path: str = ""
    controllers: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The unit of the user's service manager that ``path`` belongs to, or "" (a sub-tree given by other means)."""
        name = os.path.basename(self.path)
        return name if name.endswith(_UNITS) and "/user@" in self.path else ""


def find_layout(root: str = ROOT) -> str:
    """Tell which cgroup versions are mounted below ``root``."""
    if os.path.exists(f"{root}/cgroup.controllers"):
        return "v2"
    if os.path.exists(f"{root}/unified/cgroup.controllers"):
        return "hybrid"
    return "v1" if os.path.isdir(f"{root}/memory") or os.path.isdir(f"{root}/pids") else "none"


def own_path(text: str) -> str:
    """Return the cgroup v2 path in the text of /proc/PID/cgroup, or ""."""
    for line in text.splitlines():
        if line.startswith("0::"):
            return line[3:]
    return ""


def find_delegation(root: str = ROOT, membership: str | None = None) -> Delegation:
    """Find the highest cgroup in a row from our own upwards that we may write, none above our own unit of systemd.

    What lies above a unit is the service manager's, which takes controllers back there at any moment; and a limit that
    the user put on the unit is to hold for its containers too. ``membership`` is the text of /proc/self/cgroup unless
    given; read from there it must also be true of what ``root`` shows, which another cgroup namespace may have mounted.
    Source: https://systemd.io/CGROUP_DELEGATION (one writer a cgroup).
    """
    layout = find_layout(root)
    if layout != "v2":
        return Delegation(layout=layout)
    asked = membership is None
    if membership is None:
        try:
            membership = read_text("/proc/self/cgroup")
        except OSError:
            return Delegation(layout=layout)
    own = path = own_path(membership)
    found = ""
    while path.startswith("/") and ".." not in path and _is_ours(f"{root}{path}".rstrip("/")):
        found = path
        if path == "/" or path.endswith(_UNITS):
            break
        path = os.path.dirname(path)
    if not found or (asked and not _holds_this_process(f"{root}{own}")):
        return Delegation(layout=layout)
    return read_delegation(found, root)


def read_delegation(path: str, root: str = ROOT) -> Delegation:
    """Return which controllers the cgroup ``path`` has and hands on."""
    controllers, enabled = (
        tuple(read_text(f"{root}{path}/cgroup.{name}").split()) for name in ("controllers", "subtree_control")
    )
    return Delegation(layout="v2", path=path, controllers=controllers, enabled=enabled)


def find_manager(root: str = ROOT, membership: str | None = None) -> Delegation:
    """Find the cgroup of the user's service manager, whose controllers a scope it starts can have; "" if none runs.

    ``membership`` as above: the slice of the user in it names the manager.
    """
    path = own_path(read_text("/proc/self/cgroup") if membership is None else membership)
    before, found, rest = path.partition("/user-")
    number = rest.partition(".slice")[0]
    manager = f"{before}{found}{number}.slice/user@{number}.service"
    if not number.isdigit() or not os.path.exists(f"{root}{manager}/cgroup.controllers"):
        return Delegation(layout=find_layout(root))
    return read_delegation(manager, root)


def is_marked(path: str, *, root: str = ROOT) -> bool:
    """Tell whether systemd has marked the cgroup ``path`` as delegated (a service's, from systemd 251 on)."""
    try:
        return os.getxattr(f"{root}{path}", "user.delegate") == b"1"
    except OSError:
        return False


def can_enter(path: str, *, root: str = ROOT, membership: str | None = None) -> bool:
    """Tell whether this process may move into the cgroup ``path``: it must own the lowest one above both.

    Source: Documentation/admin-guide/cgroup-v2.rst, "Delegation Containment".
    """
    own = own_path(read_text("/proc/self/cgroup") if membership is None else membership)
    above = os.path.commonpath((own or "/", path)).rstrip("/")
    return os.access(f"{root}{above}/cgroup.procs", os.W_OK)


def _holds_this_process(directory: str) -> bool:
    """Tell whether this process is in the cgroup shown at ``directory``."""
    try:
        return str(os.getpid()) in read_text(f"{directory}/cgroup.procs").split()
    except OSError:
        return False


def _is_ours(directory: str) -> bool:
    writable = os.W_OK
    return os.access(directory, writable) and os.access(f"{directory}/cgroup.procs", writable)


def enable_controllers(path: str, controllers: tuple[str, ...], *, leaf: str, root: str = ROOT) -> None:
    """Hand ``controllers`` to the children of the cgroup ``path``; its own processes go to the child ``leaf`` first.

    A cgroup with processes of its own can't enable controllers ("no internal processes"). Idempotent.

    Raises:
        OSError: the kernel refused; nothing is undone.
    """
    directory = f"{root}{path}".rstrip("/")
    enabled = read_text(f"{directory}/cgroup.subtree_control").split()
    missing = [name for name in controllers if name not in enabled]
    if not missing:
        return
    for tries_left in range(_TRIES, -1, -1):
        _move_processes(directory, leaf)
        try:
            _write(f"{directory}/cgroup.subtree_control", " ".join(f"+{name}" for name in missing))
        except OSError as cause:
            if cause.errno == errno.EBUSY and tries_left:
                continue  # one of them forked meanwhile
            raise
        return


def _move_processes(directory: str, leaf: str) -> None:
    """Move the processes of the cgroup ``directory`` itself into its child ``leaf``."""
    pids = read_text(f"{directory}/cgroup.procs").split()
    if pids:
        os.makedirs(f"{directory}/{leaf}", exist_ok=True)
    for pid in pids:
        try:
            _write(f"{directory}/{leaf}/cgroup.procs", pid)
        except ProcessLookupError:
            continue


def is_populated(path: str, *, root: str = ROOT) -> bool:
    """Tell whether a process lives in the cgroup ``path`` or below it."""
    try:
        return "populated 1" in read_text(f"{root}{path}/cgroup.events")
    except OSError:
        return os.path.isdir(f"{root}{path}") and path in ("", "/")  # the root has no such file


def remove_cgroup(path: str, *, root: str = ROOT) -> bool:
    """Remove the cgroup ``path`` and those below it; return False if a process is still in one of them."""
    try:
        for directory, _names, _files in os.walk(f"{root}{path}", topdown=False):
            os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def kill_cgroup(path: str, *, root: str = ROOT) -> None:
    """Kill every process in the cgroup ``path`` and below (``cgroup.kill``, Linux 5.14; one by one before)."""
    try:
        _write(f"{root}{path}/cgroup.kill", "1")
    except FileNotFoundError:
        for directory, _names, _files in os.walk(f"{root}{path}"):
            for pid in read_text(f"{directory}/cgroup.procs").split():
                try:
                    os.kill(int(pid), 9)
                except ProcessLookupError:
                    continue


def freeze(path: str, *, timeout_seconds: float, root: str = ROOT) -> bool:
    """Stop every process in the cgroup ``path`` and below from running; return whether all stand still in time.

    One that the kernel can't stop (it waits for a dead file server) holds that up; what was told stays told.
    Source: Documentation/admin-guide/cgroup-v2.rst, "cgroup.freeze".

    Raises:
        OSError: there is no such cgroup, or it is not ours.
    """
    import select

    events = os.open(f"{root}{path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _write(f"{root}{path}/cgroup.freeze", "1")
        poller = select.poll()
        poller.register(events, select.POLLPRI)
        while "frozen 1" not in os.pread(events, 4096, 0).decode():
            if not poller.poll(timeout_seconds * 1000):
                return False
    finally:
        os.close(events)
    return True


def thaw(path: str, *, root: str = ROOT) -> None:
    """Undo ``freeze``; idempotent.

    Raises:
        OSError: as ``freeze``.
    """
    _write(f"{root}{path}/cgroup.freeze", "0")


def exists(path: str, *, root: str = ROOT) -> bool:
    """Tell whether there is a cgroup ``path`` that can be frozen (not the root, Linux 5.2 or newer)."""
    return os.path.exists(f"{root}{path}/cgroup.freeze")


def write(path: str, name: str, text: str, *, root: str = ROOT) -> None:
    """Write one of the files of the cgroup ``path``."""
    _write(f"{root}{path}/{name}", text)
