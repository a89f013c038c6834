"""What the layers below hold at a path, for the two cases where unpacking a layer must know.

A hard link to a file of an earlier layer brings that file up into this one first, as link(2) on an overlay does.
A directory that entries only imply gets mode and owner of the one below, because on an overlay the upper one counts.
Nothing else looks down: a symbolic link of a lower layer does not redirect the entries of this one. An entry
``lib/x`` over a lower ``lib -> usr/lib`` makes a directory ``lib``, as podman and docker do on an overlay.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless_pod.errors import Corrupt
from rootless_pod.fuse.whiteout import is_opaque, is_whiteout
from rootless_pod.storage.beneath import OPEN_DIRECTORY
from rootless_pod.storage.owners import DEFAULT_ACL, copy_all_xattrs

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def find_lower(lower_dirs: tuple[str, ...], path: bytes) -> int | None:
    """Return an ``O_PATH`` fd of what the layers ``lower_dirs`` (top first) show at ``path``; the caller closes it.

    None where they show nothing: absent, whited out, or below something that is not a directory.
    """
    parts = path.split(b"/")
    for root in lower_dirs:
        fd, hidden = _find_in(root, parts)
        if fd is not None or hidden:
            return fd
    return None


def _find_in(root: str, parts: list[bytes]) -> tuple[int | None, bool]:
    """Look in one layer; return what is there and whether it hides the layers below."""
    fd = os.open(root, OPEN_DIRECTORY)
    try:
        opaque = is_opaque(fd)
        for part in parts[:-1]:
            try:
                child = os.open(part, OPEN_DIRECTORY, dir_fd=fd)
            except OSError as refusal:
                if refusal.errno not in _ABSENT:
                    raise
                return None, opaque or refusal.errno != errno.ENOENT
            os.close(fd)
            fd = child
            opaque = opaque or is_opaque(fd)
        try:
            found = os.open(parts[-1], os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        except FileNotFoundError:
            return None, opaque
    finally:
        os.close(fd)
    if is_whiteout(os.fstat(found)):
        os.close(found)
        return None, True
    return found, True


def copy_up(source: int, dir_fd: int, name: bytes, *, single_id: bool) -> None:
    """Make a copy of the file or link behind the ``O_PATH`` fd ``source`` as ``name`` in ``dir_fd``.

    Raises:
        Corrupt: it is something that can't be a hard link's target here.
    """
    found = os.fstat(source)
    times = (found.st_atime_ns, found.st_mtime_ns)
    if stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(b"", dir_fd=source), name, dir_fd=dir_fd)
        if not single_id:
            os.chown(name, found.st_uid, found.st_gid, dir_fd=dir_fd, follow_symlinks=False)
        os.utime(name, ns=times, dir_fd=dir_fd, follow_symlinks=False)
        return
    if not stat.S_ISREG(found.st_mode):
        raise Corrupt(f"hard link to {name.decode(errors='backslashreplace')!r}, which is not a file")
    reading = os.open(f"/proc/self/fd/{source}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=dir_fd)
        try:
            _copy_data(reading, fd, found.st_size)
            if not single_id:
                os.fchown(fd, found.st_uid, found.st_gid)
            copy_all_xattrs(reading, fd)
            os.fchmod(fd, stat.S_IMODE(found.st_mode))
            os.utime(fd, ns=times)
        finally:
            os.close(fd)
    finally:
        os.close(reading)


def _copy_data(source: int, target: int, size: int) -> None:
    offset = 0
    while offset < size:
        try:
            count = os.sendfile(target, source, offset, min(size - offset, 1 << 30))
        except OSError as refusal:
            if refusal.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            data = os.pread(source, 1 << 20, offset)
            count = os.write(target, data) if data else 0
        if not count:
            raise Corrupt("a file of a lower layer is shorter than its size")
        offset += count


def copy_directory_attributes(source: int, target: int, *, single_id: bool) -> bool:
    """Give the directory ``target`` (an fd) owner and xattrs of ``source`` (``O_PATH``); the rest is set at the end.

    Returns False, with nothing done, if ``source`` is no directory.
    """
    found = os.fstat(source)
    if not stat.S_ISDIR(found.st_mode):
        return False
    reading = os.open(b".", OPEN_DIRECTORY, dir_fd=source)
    try:
        if not single_id:
            os.fchown(target, found.st_uid, found.st_gid)
        for name in os.listxattr(reading):
            if not name.startswith(("user.overlay.", "user.fuseoverlayfs.", "system.posix_acl_default")):
                try:
                    os.setxattr(target, name, os.getxattr(reading, name))
                except OSError:
                    continue
    finally:
        os.close(reading)
    return True


def read_default_acl(source: int) -> bytes:
    """Return the default ACL of the directory ``source`` (``O_PATH``), empty if it has none."""
    try:
        return os.getxattr(f"/proc/self/fd/{source}", DEFAULT_ACL)
    except OSError:
        return b""
