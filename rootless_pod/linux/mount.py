"""Mounts: mount(2), umount2(2), pivot_root(2) and the newer fsopen(2) family."""

from __future__ import annotations

import ctypes
import os

from rootless_pod.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_NOATIME = 0x400
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_STRICTATIME = 1 << 24

MNT_FORCE = 1
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = 0o2000000
MOVE_MOUNT_F_EMPTY_PATH = 0x4
FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_IDMAP = 0x00100000


def mount(
    source: str | bytes | None,
    target: str | bytes,
    fstype: str | None = None,
    flags: int = 0,
    data: str | bytes | None = None,
) -> None:
    """Call mount(2); ``data`` may hold at most one page (4,095 bytes on x86_64)."""
    libc.call(
        "mount",
        libc.encoded(source),
        libc.encoded(target),
        libc.encoded(fstype),
        ctypes.c_ulong(flags),
        libc.encoded(data),
        path=target,
    )


def bind(source: str | bytes, target: str | bytes, *, recursive: bool = True) -> None:
    """Show ``source`` at ``target`` as well."""
    mount(source, target, None, MS_BIND | (MS_REC if recursive else 0))


def umount(target: str | bytes, flags: int = MNT_DETACH | UMOUNT_NOFOLLOW) -> None:
    """Take the top mount off ``target`` (lazily unless ``flags`` say otherwise)."""
    libc.call("umount2", libc.encoded(target), flags, path=target)


def pivot_root(new_root: str, put_old: str) -> None:
    """Call pivot_root(2)."""
    libc.syscall("pivot_root", libc.encoded(new_root), libc.encoded(put_old), path=new_root)


def set_propagation(target: str, flags: int) -> None:
    """Make ``target`` private, slave or shared (``MS_*``, with ``MS_REC`` for the whole tree)."""
    mount(None, target, None, flags)


def new_filesystem_mount(fstype: str, options: Iterable[tuple[str, str | None]], *, attributes: int = 0) -> int:
    """Make a detached mount of ``fstype`` and return its fd (Linux 5.2; the caller closes it).

    ``options`` are key and value, or key and None for a flag, set in order; there is no page limit.

    Raises:
        OSError: a call failed; ``ENOSYS`` on kernels before 5.2.
    """
    context = libc.syscall("fsopen", libc.encoded(fstype), FSOPEN_CLOEXEC)
    try:
        for key, value in options:
            command = FSCONFIG_SET_FLAG if value is None else FSCONFIG_SET_STRING
            libc.syscall("fsconfig", context, command, libc.encoded(key), libc.encoded(value), 0, path=value)
        libc.syscall("fsconfig", context, FSCONFIG_CMD_CREATE, None, None, 0)
        return libc.syscall("fsmount", context, FSMOUNT_CLOEXEC, attributes)
    finally:
        os.close(context)


def open_tree(path: str, *, recursive: bool = True, dir_fd: int = AT_FDCWD) -> int:
    """Clone the mount at ``path`` as a detached one and return its fd (Linux 5.2)."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    return libc.syscall("open_tree", dir_fd, libc.encoded(path), flags, path=path)


def move_mount(fd: int, target: str) -> None:
    """Attach the detached mount behind ``fd`` at ``target`` (Linux 5.2)."""
    libc.syscall("move_mount", fd, b"", AT_FDCWD, libc.encoded(target), MOVE_MOUNT_F_EMPTY_PATH, path=target)


class _MountAttr(ctypes.Structure):
    """``struct mount_attr`` of linux/mount.h."""

    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def mount_setattr(
    fd: int, *, attr_set: int = 0, attr_clr: int = 0, userns_fd: int = 0, recursive: bool = False
) -> None:
    """Change attributes (``MOUNT_ATTR_*``) of the mount behind ``fd``; ``userns_fd`` goes with ``MOUNT_ATTR_IDMAP``."""
    attributes = _MountAttr(attr_set, attr_clr, 0, userns_fd)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    libc.syscall("mount_setattr", fd, b"", flags, ctypes.byref(attributes), ctypes.sizeof(attributes))
