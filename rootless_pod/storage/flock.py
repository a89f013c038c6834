"""flock(2) on a file whose directory may be renamed or removed at any moment."""

from __future__ import annotations

import fcntl
import os


def lock_file(path: str, *, shared: bool = False, wait: bool = True) -> int:
    """Lock the file at ``path`` (made if missing) and return its fd, or -1 if taken and ``wait`` is false.

    What is locked is the file that stands at ``path`` at the moment of return. The lock lasts until the last copy
    of the fd (forked children have one) is closed.

    Raises:
        FileNotFoundError: the directory is gone.
    """
    operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, operation)
            ours, there = os.fstat(fd), os.stat(path, follow_symlinks=False)
        except BlockingIOError:
            os.close(fd)
            return -1
        except BaseException:
            os.close(fd)
            raise
        if (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino):
            return fd
        os.close(fd)
