"""Which cgroups this user may write. No ctypes. Source: cgroups(7), Documentation/admin-guide/cgroup-v2.rst."""

from __future__ import annotations

import os

from rootless_pod.frozen import Frozen
from rootless_pod.linux.procfs import read_text

ROOT = "/sys/fs/cgroup"


class Delegation(Frozen):
    """What the machine's cgroups let this user do.

    ``layout`` is ``v2``, ``hybrid``, ``v1`` or ``none``. ``path`` is the highest cgroup of ours above (or at) this
    process, as a path below the cgroup root (``/user.slice/…``), or "" if none is writable; ``controllers`` are
    those it may hand to children.
    """

    layout: str
    path: str = ""
    controllers: tuple[str, ...] = ()


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
    """Find the highest cgroup in a row from our own upwards that we may write (a user's systemd, a container's root).

    ``membership`` is the text of /proc/self/cgroup unless given.
    """
    layout = find_layout(root)
    if layout != "v2":
        return Delegation(layout=layout)
    if membership is None:
        try:
            membership = read_text("/proc/self/cgroup")
        except OSError:
            return Delegation(layout=layout)
    path, found = own_path(membership), ""
    while path.startswith("/") and ".." not in path and _is_ours(f"{root}{path}".rstrip("/")):
        found = path
        if path == "/":
            break
        path = os.path.dirname(path)
    if not found:
        return Delegation(layout=layout)
    controllers = read_text(f"{root}{found}/cgroup.controllers").split()
    return Delegation(layout=layout, path=found, controllers=tuple(controllers))


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
    pids = read_text(f"{directory}/cgroup.procs").split()
    if pids:
        os.makedirs(f"{directory}/{leaf}", exist_ok=True)
    for pid in pids:
        try:
            _write(f"{directory}/{leaf}/cgroup.procs", pid)
        except ProcessLookupError:
            continue
    _write(f"{directory}/cgroup.subtree_control", " ".join(f"+{name}" for name in missing))


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
