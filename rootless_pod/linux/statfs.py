"""The kind of file system a path lies on, by statfs(2) magic number."""

from __future__ import annotations

import ctypes

from rootless_pod.linux import libc

# Source: linux/magic.h and statfs(2).
MAGIC_NAMES = {
    0x6969: "nfs",
    0xFE534D42: "smb2",
    0xFF534D42: "cifs",
    0x0BD00BD0: "lustre",
    0x47504653: "gpfs",
    0x19830326: "beegfs",
    0x5346414F: "afs",
    0x00C36400: "ceph",
    0x01021997: "9p",
    0x65735546: "fuse",
    0x794C7630: "overlay",
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x01021994: "tmpfs",
    0x2FC12FC1: "zfs",
    0xCA451A4E: "bcachefs",
    0x9FA0: "proc",
    0x62656572: "sysfs",
    0x63677270: "cgroup2",
    0x27E0EB: "cgroup",
}
NETWORK_FILESYSTEMS = frozenset({"nfs", "smb2", "cifs", "lustre", "gpfs", "beegfs", "afs", "ceph", "9p"})


def filesystem_type(path: str) -> str:
    """Return the name of the file system ``path`` lies on, or ``0x…`` where it is not in the table."""
    buffer = (ctypes.c_long * 32)()
    libc.call("statfs", libc.encoded(path), ctypes.byref(buffer), path=path)
    magic = buffer[0] & 0xFFFFFFFF
    return MAGIC_NAMES.get(magic, hex(magic))
