"""The child that makes the namespaces and turns into the pause process.

Runs after fork: only ``linux``, ``messages`` and the standard library, no threads, no imports.
"""

from __future__ import annotations

import os

from rootless_pod.linux import mount, namespaces, signals
from rootless_pod.userns import messages

_NULL_FDS = (0, 1, 2)


class ChildFailed(Exception):
    """A step failed; the text goes to the parent as it is: ``STEP ERRNO TEXT``."""


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _step(name: str, action: object, *arguments: object) -> None:
    try:
        action(*arguments)  # type: ignore[operator]
    except OSError as cause:
        raise ChildFailed(f"{name} {cause.errno} {cause.strerror}") from cause


def _map_own_id(uid: int, gid: int) -> None:
    """Map the one id a user may always map. setgroups must be given up first (user_namespaces(7))."""
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"0 {uid} 1\n")
    _write("/proc/self/gid_map", f"0 {gid} 1\n")


def _become_pause(argv: list[str]) -> None:
    """Hold the namespaces with as little memory as there is: a tiny program, or this process asleep."""
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    for fd in _NULL_FDS:
        os.dup2(null, fd)
    if argv:
        try:
            os.execv(argv[0], argv)
        except OSError:
            pass
    os.closerange(3, 1024)
    while True:
        signals.pause()


def run_child(inbox: int, outbox: int, *, pause_argv: list[str], join_only: bool) -> None:
    """Make the namespaces (unless ``join_only``: they are ours already), become the pause process; never return."""
    try:
        uid, gid = os.getuid(), os.getgid()
        os.setsid()
        if not join_only:
            _step("unshare", namespaces.unshare, namespaces.CLONE_NEWUSER | namespaces.CLONE_NEWNS)
        messages.send(outbox, messages.UNSHARED)
        order = messages.receive(inbox)
        if order == messages.MAP_YOURSELF:
            _step("map", _map_own_id, uid, gid)
        elif order != messages.MAPPED:
            os._exit(0)
        if not join_only:
            _step("propagation", mount.set_propagation, "/", mount.MS_REC | mount.MS_SLAVE)
        messages.send(outbox, messages.READY)
        if messages.receive(inbox) != messages.RECORDED:
            os._exit(0)
        _become_pause(pause_argv)
    except ChildFailed as failure:
        messages.send(outbox, messages.FAILED + str(failure).encode())
    except BaseException as failure:
        messages.send(outbox, messages.FAILED + f"child 0 {failure!r}".encode())
    finally:
        os._exit(1)
