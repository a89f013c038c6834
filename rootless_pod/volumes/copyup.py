"""Copying a directory of a root file system with all that belongs to it. Not hot: once a volume."""

from __future__ import annotations

import errno
import os
import stat

from rootless_pod.linux.inroot import open_in_root

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# What a user may be refused without the copy being wrong: an owner or attribute that has no meaning here.
_TOLERATED = frozenset((errno.EPERM, errno.EINVAL, errno.ENOTSUP, errno.EACCES))
_CHUNK = 1 << 30


def copy_directory(rootfs: str, path: str, destination: str) -> bool:
    """Copy the directory ``path`` below ``rootfs`` onto the empty directory ``destination``; False if there is none.

    Modes, owners, times, extended attributes, symbolic and hard links are kept; sockets and devices are left out.

    Raises:
        OSError: reading or writing failed; what was copied stays.
    """
    try:
        source = open_in_root(rootfs, path, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        target = os.open(destination, _DIRECTORY)
        try:
            _copy_entries(source, target, {})
        except RecursionError as cause:
            raise OSError(errno.ENAMETOOLONG, "its directories lie too deep in each other", path) from cause
        finally:
            os.close(target)
    finally:
        os.close(source)
    return True


def move_entries(source: str, destination: str) -> None:
    """Move all that is in one directory into another of its file system, and its own attributes with it.

    What has the name of something in ``destination`` stays where it is. Called again after a kill it goes on.

    Raises:
        OSError: reading or writing failed.
    """
    come_from = os.open(source, _DIRECTORY)
    try:
        go_to = os.open(destination, _DIRECTORY)
        try:
            there = set(os.listdir(go_to))
            status = os.fstat(come_from)
            for name in os.listdir(come_from):
                if name not in there:
                    os.rename(name, name, src_dir_fd=come_from, dst_dir_fd=go_to)
            _copy_attributes(come_from, go_to, status)
        finally:
            os.close(go_to)
    finally:
        os.close(come_from)


def _copy_entries(source: int, target: int, links: dict[tuple[int, int], str]) -> None:
    for name in os.listdir(source):
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            _copy_inner(source, target, name, links)
        elif stat.S_ISREG(mode):
            _copy_file(source, target, name, status, links)
        elif stat.S_ISLNK(mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            _tolerant(os.chown, name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
            os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)
        elif stat.S_ISFIFO(mode):
            os.mkfifo(name, 0o600, dir_fd=target)
            _tolerant(os.chown, name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
            os.chmod(name, stat.S_IMODE(mode), dir_fd=target)
    _copy_attributes(source, target, os.fstat(source))


def _copy_inner(source: int, target: int, name: str, links: dict[tuple[int, int], str]) -> None:
    os.mkdir(name, 0o700, dir_fd=target)
    inner_source = os.open(name, _DIRECTORY, dir_fd=source)
    try:
        inner_target = os.open(name, _DIRECTORY, dir_fd=target)
        try:
            _copy_entries(inner_source, inner_target, links)
        finally:
            os.close(inner_target)
    finally:
        os.close(inner_source)


def _copy_file(source: int, target: int, name: str, status: os.stat_result, links: dict[tuple[int, int], str]) -> None:
    key = (status.st_dev, status.st_ino)
    if status.st_nlink > 1 and key in links:
        os.link(links[key], name, dst_dir_fd=target)
        return
    reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)
    try:
        writer = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
        try:
            _copy_bytes(reader, writer)
            _copy_attributes(reader, writer, status)
            if status.st_nlink > 1:
                links[key] = os.readlink(f"/proc/self/fd/{writer}")
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _copy_bytes(reader: int, writer: int) -> None:
    try:
        while os.copy_file_range(reader, writer, _CHUNK):
            pass
    except OSError as cause:
        if cause.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    else:
        if os.lseek(writer, 0, os.SEEK_CUR) or not os.fstat(reader).st_size:
            return
    while os.sendfile(writer, reader, None, _CHUNK):
        pass


def _copy_attributes(source: int, target: int, status: os.stat_result) -> None:
    """Owner first: a change of owner clears setuid bits and capabilities."""
    _tolerant(os.fchown, target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    try:
        names = os.listxattr(source)
    except OSError:
        names = []
    for name in names:
        if not name.startswith(("user.overlay.", "trusted.")):
            _tolerant(_copy_xattr, source, target, name)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_xattr(source: int, target: int, name: str) -> None:
    os.setxattr(target, name, os.getxattr(source, name))


def _tolerant(function: object, *arguments: object, **options: object) -> None:
    try:
        function(*arguments, **options)  # type: ignore[operator]
    except OSError as cause:
        if cause.errno not in _TOLERATED:
            raise
