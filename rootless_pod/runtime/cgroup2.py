"""A view of cgroup2 for runtimes that refuse a host with the old hierarchies (hybrid or legacy). Hot.

crun 1.8.1 stops with "cgroups in hybrid mode not supported" where ``/sys/fs/cgroup`` is not cgroup2. Inside the user's
own user and mount namespace cgroup2 can be mounted over it, once the process has a cgroup namespace that this user
namespace owns. Containers get no limits from it (nothing is delegated), but they run.
Source: cgroup_namespaces(7); kernel/cgroup/cgroup.c ``cgroup2_fs_type`` (``FS_USERNS_MOUNT``); tried on Linux 6.18.
"""

from __future__ import annotations

import os

CGROUP_ROOT = "/sys/fs/cgroup"
_OUR_MOUNT = "rpod-cgroup2"


def cgroup_setup(root: str = CGROUP_ROOT) -> str:
    """Return what ``root`` holds: ``unified`` (cgroup2), ``hybrid``, ``legacy`` (version 1 alone) or ``none``."""
    if os.path.exists(f"{root}/cgroup.controllers"):
        return "unified"
    if os.path.exists(f"{root}/unified/cgroup.controllers"):
        return "hybrid"
    try:
        return "legacy" if os.listdir(root) else "none"
    except OSError:
        return "none"


def what_is_shown(root: str = CGROUP_ROOT) -> str:
    """Return what ``root`` holds for this mount namespace: ``ours`` for our own view, else as ``cgroup_setup``.

    An answer found with one of them does not hold with another, and commands of one user can join namespaces of either.
    """
    setup = cgroup_setup(root)
    return "ours" if setup == "unified" and is_our_view(root) else setup


def show_cgroup2(root: str = CGROUP_ROOT) -> None:
    """Mount cgroup2 on ``root`` in this mount namespace, unless it is there; this process gets a cgroup namespace.

    Read-only: it begins at the cgroup of this command, which the user may own. A runtime of a later command from
    another cgroup would make one there and not be allowed to enter it; where it can make none it goes without.

    Raises:
        OSError: the kernel refuses (not inside our own user namespace, or a kernel without cgroup2).
    """
    if cgroup_setup(root) == "unified":
        return
    from rootless_pod.linux.mount import MS_BIND, MS_RDONLY, MS_REMOUNT, mount
    from rootless_pod.linux.namespaces import CLONE_NEWCGROUP, unshare

    unshare(CLONE_NEWCGROUP)
    mount(_OUR_MOUNT, root, "cgroup2")
    mount(_OUR_MOUNT, root, "", MS_REMOUNT | MS_BIND | MS_RDONLY)


def is_our_view(root: str = CGROUP_ROOT) -> bool:
    """Tell whether what ``root`` shows was mounted by ``show_cgroup2``, in this or an earlier command."""
    from rootless_pod.linux.procfs import mount_points

    return (root, "cgroup2", _OUR_MOUNT) in mount_points()
