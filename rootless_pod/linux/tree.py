"""Whole directory trees: syncfs(2), and removal that touches nothing outside, whatever a container left there.

Symbolic links are never followed and mount points never entered. Directories with mode 000 (the
kernel's overlay work directories) and trees deeper than the descriptor limit are no obstacle.
"""

from __future__ import annotations

import errno
import os
import struct

from rootless_pod.linux import libc

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Source: linux/openat2.h.
_RESOLVE = 0x01 | 0x04 | 0x08  # NO_XDEV, NO_SYMLINKS, BENEATH
_DEEPEST = 200
"""Levels held open at a time; what lies deeper is first moved up."""


def syncfs(path: str) -> None:
    """Write all dirty data of the file system ``path`` lies on to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc.call("syncfs", fd, path=path)
    finally:
        os.close(fd)


def remove_tree(path: str | bytes, *, dir_fd: int | None = None) -> None:
    """Remove ``path`` (a name in ``dir_fd`` if that is given) and all below it; a missing one is fine.

    Raises:
        OSError: something could not be removed (``EBUSY`` or ``EXDEV``: a mount point); the rest of the tree is gone.
    """
    shown = os.fsdecode(path)
    if dir_fd is not None:
        _remove_in(dir_fd, shown, shown)
        return
    parent, name = os.path.split(shown.rstrip("/"))
    try:
        parent_fd = os.open(parent or (".", "/")[shown.startswith("/")], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _remove_in(parent_fd, name, shown)
    finally:
        os.close(parent_fd)


def _remove_in(parent_fd: int, name: str, path: str) -> None:
    try:
        os.unlink(name, dir_fd=parent_fd)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in {errno.EISDIR, errno.EPERM}:
            raise
    else:
        return
    failures: list[OSError] = []
    root_fd = _open_directory(name, parent_fd, path)
    try:
        _empty(root_fd, path, failures)
    finally:
        os.close(root_fd)
    if failures:
        raise failures[0]
    os.rmdir(name, dir_fd=parent_fd)


def empty_tree(path: str) -> None:
    """Remove all below the directory ``path`` and keep it (raises OSError like ``remove_tree``)."""
    failures: list[OSError] = []
    fd = os.open(path, _DIRECTORY)
    try:
        _empty(fd, path, failures)
    finally:
        os.close(fd)
    if failures:
        raise failures[0]


def _empty(root_fd: int, path: str, failures: list[OSError]) -> None:
    """Empty the directory behind ``root_fd``, in rounds as long as deep parts were moved up into it."""
    moved = _Mover(root_fd)
    while True:
        before = moved.count
        _remove_entries(root_fd, path, 0, moved, failures)
        if moved.count == before or failures:
            return


class _Mover:
    """Moves a directory that lies too deep to the top of the tree, under a name of its own."""

    def __init__(self, root_fd: int) -> None:
        """Remember the top."""
        self.root_fd = root_fd
        self.count = 0

    def move(self, name: str, dir_fd: int) -> None:
        """Move ``name`` in ``dir_fd`` up."""
        self.count += 1
        os.rename(name, f".rpod-deep-{os.urandom(6).hex()}", src_dir_fd=dir_fd, dst_dir_fd=self.root_fd)


def _remove_entries(fd: int, path: str, depth: int, mover: _Mover, failures: list[OSError]) -> None:
    with os.scandir(fd) as listing:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in listing]
    for name, is_directory in entries:
        try:
            if not is_directory:
                os.unlink(name, dir_fd=fd)
            elif depth >= _DEEPEST:
                _remove_shallow(name, fd, mover)
            else:
                _remove_directory(name, fd, f"{path}/{name}", depth, mover, failures)
        except FileNotFoundError:
            continue
        except OSError as error:
            failures.append(OSError(error.errno, error.strerror, f"{path}/{name}"))


def _remove_shallow(name: str, fd: int, mover: _Mover) -> None:
    try:
        os.rmdir(name, dir_fd=fd)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        mover.move(name, fd)


def _remove_directory(name: str, fd: int, path: str, depth: int, mover: _Mover, failures: list[OSError]) -> None:
    try:
        os.rmdir(name, dir_fd=fd)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
    else:
        return
    child = _open_directory(name, fd, path)
    before = len(failures)
    try:
        _remove_entries(child, path, depth + 1, mover, failures)
    finally:
        os.close(child)
    if len(failures) == before:
        os.rmdir(name, dir_fd=fd)


def _open_directory(name: str, dir_fd: int, path: str) -> int:
    """Open the subdirectory ``name`` for reading and removing; it is made accessible if it is not."""
    try:
        fd = _open_beneath(name, dir_fd, path)
    except PermissionError:
        _make_accessible(name, dir_fd)
        return _open_beneath(name, dir_fd, path)
    if os.fstat(fd).st_mode & 0o300 != 0o300:
        try:
            os.fchmod(fd, 0o700)
        except OSError:
            pass  # uid 0 of the namespace may do without; if not, the unlink below says so
    return fd


def _open_beneath(name: str, dir_fd: int, path: str) -> int:
    how = struct.pack("QQQ", _DIRECTORY, 0, _RESOLVE)
    try:
        return libc.syscall("openat2", dir_fd, os.fsencode(name), how, len(how), path=path)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
    # Linux before 5.6: a mount of another file system is seen by its device number.
    fd = os.open(name, _DIRECTORY, dir_fd=dir_fd)
    if os.fstat(fd).st_dev != os.fstat(dir_fd).st_dev:
        os.close(fd)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    return fd


def _make_accessible(name: str, dir_fd: int) -> None:
    fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        os.chmod(f"/proc/self/fd/{fd}", 0o700)
    finally:
        os.close(fd)
