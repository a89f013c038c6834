"""The kernel's overlay over id-mapped layers: a shift of owners that costs nothing.

The kernel allows it where the layers' file system was mounted inside the user's own namespace
(a tmpfs, for one); a disk's file system belongs to the host's root and says EPERM.
Source: Linux Documentation/filesystems/idmappings.rst; layers as descriptors need Linux 6.13.
"""

from __future__ import annotations

import os

from rootless_pod.linux import libc, mount, namespaces, overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.fuse.driver import IdShift, RootfsRequest, ShiftRange


def mount_idmapped(request: RootfsRequest) -> None:
    """Mount ``request`` with every layer, the upper and the work directory id-mapped by its ``id_shift``.

    Raises:
        OSError: ``EPERM`` where the file system is not ours, ``EINVAL`` where the kernel is too old.
    """
    if request.id_shift is None:
        raise ValueError("mount_idmapped without an id_shift")
    from rootless_pod.fuse.native import drop_volatile_mark

    user_namespace = namespace_of(request.id_shift)
    opened = [user_namespace]
    try:
        lowers = []
        for directory in request.lower_dirs:
            opened.append(_idmapped(directory, user_namespace))
            lowers.append(opened[-1])
        upper = work = None
        options = ["userxattr", *request.options]
        if not request.read_only or len(lowers) == 1:
            # Upper and work must lie on one and the same mount: map their common parent and walk down.
            drop_volatile_mark(request.work)
            parent = os.path.commonpath((request.upper, request.work))
            base = _idmapped(parent, user_namespace)
            opened.append(base)
            upper = _below(base, os.path.relpath(request.upper, parent), opened)
            work = _below(base, os.path.relpath(request.work, parent), opened)
            options += ["volatile"] if request.volatile else []
        overlay.mount_by_descriptors(request.merged, lowers, upper, work, options)
    finally:
        for fd in opened:
            os.close(fd)
    if request.read_only:
        from rootless_pod.fuse.native import remount_read_only

        remount_read_only(request.merged)


def _idmapped(path: str, user_namespace: int) -> int:
    fd = mount.open_tree(path, recursive=False)
    try:
        mount.mount_setattr(fd, attr_set=mount.MOUNT_ATTR_IDMAP, userns_fd=user_namespace)
    except OSError:
        os.close(fd)
        raise
    return fd


def _below(base: int, name: str, opened: list[int]) -> int:
    opened.append(os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=base))
    return opened[-1]


def namespace_of(shift: IdShift) -> int:
    """Return a descriptor of a user namespace that maps ids as ``shift`` says (the caller closes it).

    Raises:
        OSError: it can't be made or mapped.
    """
    ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
    done_read, done_write = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            os.close(done_write)
            namespaces.unshare(namespaces.CLONE_NEWUSER)
            os.write(ready_write, b"1")
            os.read(done_read, 1)
        finally:
            os._exit(0)
    os.close(ready_write)
    os.close(done_read)
    try:
        if os.read(ready_read, 1) != b"1":
            raise PermissionError(1, "unshare: Operation not permitted", "user namespace")
        _write_map(f"/proc/{child}/uid_map", shift.uids)
        _write_map(f"/proc/{child}/gid_map", shift.gids)
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(done_write)
        os.close(ready_read)
        os.waitpid(child, 0)


def _write_map(path: str, ranges: tuple[ShiftRange, ...]) -> None:
    text = "".join(f"{part.container_id} {part.parent_id} {part.size}\n" for part in ranges)
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, libc.encoded(text) or b"")
    finally:
        os.close(fd)
