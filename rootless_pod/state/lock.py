"""Locks that vanish with a killed process: flock(2) on a file in the object's own directory."""

from __future__ import annotations

import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self


class Lock:
    """An advisory lock on ``path`` (made if missing). Use as a context manager; not re-entrant.

    If the file is removed while we wait (its object went away), ``FileNotFoundError`` is raised where the
    directory is gone, and the new file is taken where it was made again.
    """

    def __init__(self, path: str, *, shared: bool = False) -> None:
        """Name the file; nothing is opened yet."""
        self.path = path
        self._mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._fd = -1

    def acquire(self, *, wait: bool = True) -> bool:
        """Take the lock; without ``wait`` return False if another process has it."""
        flags = self._mode | (0 if wait else fcntl.LOCK_NB)
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, flags)
                if os.fstat(fd).st_nlink:
                    self._fd = fd
                    return True
            except BlockingIOError:
                os.close(fd)
                return False
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    @property
    def fd(self) -> int:
        """The descriptor that holds the lock (-1: not taken): a process that inherits it has the lock, too."""
        return self._fd

    def release(self) -> None:
        """Give the lock back; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def keep_alone(self) -> None:
        """In a forked child that lives on: close every descriptor but the lock's; standard streams go to /dev/null."""
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        os.closerange(3, self._fd)
        os.closerange(max(self._fd + 1, 3), os.sysconf("SC_OPEN_MAX"))

    def __enter__(self) -> Self:
        if self._fd < 0:
            self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class ObjectLock(Lock):
    """A lock in the directory of an object; taking it for one that is gone raises what ``gone(id)`` returns."""

    def __init__(self, directory: str, name: str, gone: Callable[[str], Exception], *, shared: bool = False) -> None:
        """Name the lock file; the directory's name is the object's id."""
        super().__init__(f"{directory}/{name}", shared=shared)
        self._gone = gone

    def acquire(self, *, wait: bool = True) -> bool:
        """Take the lock; raises as said above if the object was removed meanwhile."""
        try:
            return super().acquire(wait=wait)
        except FileNotFoundError as cause:
            raise self._gone(os.path.basename(os.path.dirname(self.path))[:12]) from cause
