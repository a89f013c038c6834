"""Whole directory trees by directory descriptors: removal, and syncfs(2)."""

from __future__ import annotations

import errno
import os

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Descriptors held at once while descending; a deeper directory is first renamed up to the top.
_DEPTH = 128


def syncfs(path: str) -> None:
    """Write all dirty data of the file system ``path`` lies on to the disk."""
    from rootless_pod.linux import libc

    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc.call("syncfs", fd, path=path)
    finally:
        os.close(fd)


def remove_tree(name: str | bytes, *, dir_fd: int | None = None) -> None:
    """Remove ``name`` and all below it, never following a symbolic link; no error if it is not there.

    Any depth works with a bounded number of descriptors. Directories without permissions are opened up first.
    A mount point inside is left, with all above it.

    Raises:
        OSError: something could not be removed; what was before it is gone.
    """
    raw = os.fsencode(name)
    try:
        os.unlink(raw, dir_fd=dir_fd)
    except FileNotFoundError:
        return
    except OSError as refusal:
        if refusal.errno not in (errno.EISDIR, errno.EPERM):
            raise
    else:
        return
    top = _open_directory(raw, dir_fd)
    try:
        _Removal(top).run()
    finally:
        os.close(top)
    os.rmdir(raw, dir_fd=dir_fd)


def _open_directory(name: bytes, dir_fd: int | None) -> int:
    """Open a directory that can be listed and changed, its mode mended where it forbids that to its owner."""
    try:
        fd = os.open(name, _OPEN, dir_fd=dir_fd)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=dir_fd)
        fd = os.open(name, _OPEN, dir_fd=dir_fd)
    if os.fstat(fd).st_mode & 0o300 != 0o300 and os.geteuid() != 0:
        os.fchmod(fd, 0o700)
    return fd


class _Removal:
    """The walk of ``remove_tree`` below one open directory."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._moved = 0

    def run(self) -> None:
        # (descriptor, names of subdirectories still there); the name of an open directory is its parent's last.
        stack = [(self._top, self._clear(self._top))]
        try:
            while stack:
                fd, waiting = stack[-1]
                if waiting:
                    self._descend(stack, fd, waiting)
                    continue
                stack.pop()
                if stack:
                    os.close(fd)
                    parent, siblings = stack[-1]
                    os.rmdir(siblings.pop(), dir_fd=parent)
        finally:
            for fd, _waiting in stack[1:]:
                os.close(fd)

    def _descend(self, stack: list[tuple[int, list[bytes]]], fd: int, waiting: list[bytes]) -> None:
        if len(stack) < _DEPTH:
            child = _open_directory(waiting[-1], fd)
            try:
                stack.append((child, self._clear(child)))
            except BaseException:
                os.close(child)
                raise
            return
        self._moved += 1
        moved = b".deep-%d-%d" % (os.getpid(), self._moved)
        os.rename(waiting.pop(), moved, src_dir_fd=fd, dst_dir_fd=self._top)
        stack[0][1].insert(0, moved)

    @staticmethod
    def _clear(fd: int) -> list[bytes]:
        """Unlink what is no directory; return the names of the directories."""
        directories = []
        for name in os.listdir(fd):
            raw = os.fsencode(name)
            try:
                os.unlink(raw, dir_fd=fd)
            except FileNotFoundError:
                pass
            except OSError as refusal:
                if refusal.errno not in (errno.EISDIR, errno.EPERM):
                    raise
                directories.append(raw)
        return directories
