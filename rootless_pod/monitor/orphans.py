"""What a runtime that was killed leaves to its monitor: a first process that nobody will ever start.

conmon learns of the runtime's end and then reads its error output to the end; but the container's first process,
waiting for a ``start`` that cannot come, holds the other end of that pipe. Nobody would move until our own time limit.
Source: conmon 2.1.6 (conmon.c), seen with crun and runc.
"""

from __future__ import annotations

import os

from rootless_pod.linux import procfs, signals


def end_orphans(monitor_pid: int) -> bool:
    """End the children of a monitor whose runtime is gone; return whether there were any.

    A runtime works in the monitor's mount namespace, what it makes lives in another: if all children do, it is gone.
    """
    own = _mount_namespace(monitor_pid)
    children = children_of(monitor_pid)
    if not own or not children or any(_mount_namespace(pid) in ("", own) for pid in children):
        return False
    for pid in children:
        _end(pid, monitor_pid)
    return True


def children_of(pid: int) -> list[int]:
    """Return the pids of the living children of ``pid``, from /proc: not every kernel lists them for a process."""
    names = (name for name in os.listdir("/proc") if name.isdigit())
    return [int(name) for name in names if _parent(int(name)) == pid]


def _parent(pid: int) -> int:
    """Return the parent of ``pid``; 0 if it is gone, or a zombie."""
    try:
        stat = procfs.read_text(f"/proc/{pid}/stat")
    except OSError:
        return 0
    fields = stat[stat.rfind(")") + 2 :].split()
    return 0 if fields[0] in "ZX" else int(fields[1])


def _mount_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return ""


def _end(pid: int, parent: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if _parent(pid) == parent:
            signals.send(handle, signals.SIGKILL)
    except OSError:
        pass
    finally:
        os.close(handle)
