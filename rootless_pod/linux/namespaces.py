"""Namespaces: unshare(2) and setns(2) through ctypes (Python 3.11 has neither)."""

from __future__ import annotations

import os

from rootless_pod.linux import libc

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
NS_GET_PARENT = 0xB702

FLAG_BY_NAME = {
    "mnt": CLONE_NEWNS,
    "cgroup": CLONE_NEWCGROUP,
    "uts": CLONE_NEWUTS,
    "ipc": CLONE_NEWIPC,
    "user": CLONE_NEWUSER,
    "pid": CLONE_NEWPID,
    "net": CLONE_NEWNET,
}


def unshare(flags: int) -> None:
    """Move this process into new namespaces (``CLONE_NEW*`` flags or-ed)."""
    libc.call("unshare", flags)


def setns(fd: int, flags: int = 0) -> None:
    """Join the namespaces behind ``fd``.

    ``fd`` is a ``/proc/PID/ns/*`` file, or a pidfd with several ``CLONE_NEW*``
    flags (Linux 5.8). The process must have one thread for a user namespace.
    """
    libc.call("setns", fd, flags)


def join(pid: int, names: tuple[str, ...]) -> None:
    """Join the named namespaces (``user``, ``mnt``, …) of process ``pid``, in the order given.

    All are opened before the first is joined: after ``user`` the others may be out of sight.
    """
    opened = []
    try:
        for name in names:
            fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
            opened.append((fd, FLAG_BY_NAME[name]))
        for fd, flag in opened:
            setns(fd, flag)
    finally:
        for fd, _flag in opened:
            os.close(fd)


def parent(fd: int) -> int:
    """Return a descriptor of the parent of the user namespace ``fd``; EPERM above our own. Source: ioctl_ns(2)."""
    import fcntl

    found = fcntl.ioctl(fd, NS_GET_PARENT)
    os.set_inheritable(found, False)
    return found
