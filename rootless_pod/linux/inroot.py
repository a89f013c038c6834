"""Opening paths as if a directory were ``/``: no symbolic link of the tree leads out of it. No ctypes.

The walk holds a descriptor of every directory on the way, so a tree that changes meanwhile
can make it fail but never lead it elsewhere. Source: openat2(2), RESOLVE_IN_ROOT (same meaning).
"""

from __future__ import annotations

import errno
import os
import stat

_MAX_LINKS = 40  # as the kernel's MAXSYMLINKS
_PATH_ONLY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def open_in_root(root: str, path: str, flags: int = os.O_RDONLY, mode: int = 0o644) -> int:
    """Open ``path`` below ``root`` and return the descriptor (the caller closes it).

    With ``O_CREAT`` the last component may be missing; directories on the way may not.

    Raises:
        OSError: as open(2); ``ELOOP`` after 40 symbolic links.
    """
    directories, name = _walk(root, path)
    try:
        if not name:
            return os.open(".", flags | os.O_CLOEXEC, dir_fd=directories[-1])
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=directories[-1])
    finally:
        _close(directories)


def read_in_root(root: str, path: str, *, limit: int = 4 << 20) -> str | None:
    """Return the text of the regular file ``path`` below ``root``; None if there is none.

    Raises:
        OSError: it can't be read, or is longer than ``limit`` bytes (``EFBIG``).
    """
    try:
        fd = open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        data = _read_all(fd, limit)
    finally:
        os.close(fd)
    if len(data) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return data.decode(errors="surrogateescape")


def _read_all(fd: int, limit: int) -> bytes:
    """Read to the end, or little more than ``limit`` bytes."""
    parts, size = [], 0
    while size <= limit and (part := os.read(fd, 65536)):
        size += len(part)
        parts.append(part)
    return b"".join(parts)


def make_directories_in_root(
    root: str, path: str, *, mode: int = 0o755, owner: tuple[int, int] | None = None
) -> tuple[str, ...]:
    """Make the directory ``path`` below ``root`` and its parents; return those made, outermost first.

    ``owner`` (uid, gid) is given to the last directory if it was made here.

    Raises:
        OSError: as mkdir(2); ``ENOTDIR`` where a component is another kind of file.
    """
    made: list[str] = []
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for count in range(1, len(parts) + 1):
        here = "/" + "/".join(parts[:count])
        directories, name = _walk(root, here)
        try:
            if not name:
                continue
            try:
                os.mkdir(name, mode, dir_fd=directories[-1])
            except FileExistsError:
                if not stat.S_ISDIR(os.stat(name, dir_fd=directories[-1], follow_symlinks=False).st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), here) from None
                continue
            made.append(here)
            if owner is not None and count == len(parts):
                os.chown(name, *owner, dir_fd=directories[-1], follow_symlinks=False)
        finally:
            _close(directories)
    return tuple(made)


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _walk(root: str, path: str) -> tuple[list[int], str]:
    """Follow all of ``path`` but its last component; return the open directories (outermost first) and that.

    The component is "" where the path ends in a directory already open (``/``, ``..``), and never a symbolic link.
    """
    directories = [os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
    pending = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    links = 0
    try:
        while pending:
            name = pending.pop()
            if name == "..":
                if len(directories) > 1:
                    os.close(directories.pop())
                continue
            try:
                fd = os.open(name, _PATH_ONLY, dir_fd=directories[-1])
            except FileNotFoundError:
                if pending:
                    raise
                return directories, name
            target = _link_target(fd)
            if target is None and not pending:
                os.close(fd)
                return directories, name
            if target is None:
                directories.append(fd)
                _require_directory(fd, path)
                continue
            os.close(fd)
            links += 1
            _require_few(links, path)
            if target.startswith("/"):
                _close(directories[1:])
                del directories[1:]
            pending += [part for part in reversed(target.split("/")) if part not in ("", ".")]
    except BaseException:
        _close(directories)
        raise
    return directories, ""


def _link_target(fd: int) -> str | None:
    """Return where the symbolic link behind ``fd`` points, or None if it is none."""
    if not stat.S_ISLNK(os.fstat(fd).st_mode):
        return None
    return os.readlink("", dir_fd=fd)


def _require_few(links: int, path: str) -> None:
    if links > _MAX_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _require_directory(fd: int, path: str) -> None:
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
