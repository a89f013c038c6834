"""When was this file born. Depends on nothing of the project but ``statx.py`` beside it; see docs/ctime.md."""

from __future__ import annotations

import errno
import os

from rootless_pod.ctime.statx import STATX_BTIME, statx

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from rootless_pod.ctime.statx import StatxFunction

BIRTH = "birth"
MODIFICATION = "modification"
# Answers of a kernel without statx, and of a seccomp profile written before it: the file may still be readable.
_NO_STATX = frozenset({errno.ENOSYS, errno.EPERM})


class BirthTime:
    """A point in time and where it comes from.

    ``ns`` counts nanoseconds from the epoch, on the file system's clock, which is coarse: up to a jiffy (1-10 ms)
    before the clock of ``time.time_ns``. ``source`` is ``BIRTH`` or ``MODIFICATION``. Equal by value, never changed.
    """

    __slots__ = ("ns", "source")

    ns: int
    source: str

    def __init__(self, ns: int, source: str) -> None:
        """Keep both values."""
        object.__setattr__(self, "ns", ns)
        object.__setattr__(self, "source", source)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a point in time does not move."""
        raise AttributeError(f"BirthTime is frozen: cannot set {name!r}")

    def __eq__(self, other: object) -> bool:
        """Compare time and source."""
        return isinstance(other, BirthTime) and (self.ns, self.source) == (other.ns, other.source)

    def __hash__(self) -> int:
        """Hash time and source."""
        return hash((self.ns, self.source))

    def __repr__(self) -> str:
        """Show both."""
        return f"BirthTime(ns={self.ns}, source={self.source!r})"

    def at(self) -> datetime:
        """Return it as an aware ``datetime`` in UTC (to the microsecond, cut off)."""
        from datetime import UTC, datetime, timedelta

        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.ns // 1000)


def birth_time(
    path: str | bytes | os.PathLike[str] | int,
    *,
    follow_symlinks: bool = True,
    function: StatxFunction | None = None,
) -> BirthTime:
    """Return when the file behind a path or an open descriptor was made.

    Where file system or kernel do not tell, it is the time of the last modification, which for a file that is written
    once, such as an exit file, is the closest there is; ``source`` says which. ``function`` stands in for the system
    call (tests).

    Raises:
        OSError: there is no such file, or no way to it (``FileNotFoundError``, ``PermissionError`` …).
        ValueError: a null byte in the path.
    """
    try:
        answer = statx(path, STATX_BTIME, follow_symlinks=follow_symlinks, function=function)
    except OSError as cause:
        if cause.errno not in _NO_STATX:
            raise
    else:
        born_ns = answer.stx_btime.ns
        # Some file systems claim to know and answer the epoch: that is no birth.
        if answer.stx_mask & STATX_BTIME and born_ns != 0:
            return BirthTime(born_ns, BIRTH)
    found = os.stat(path) if isinstance(path, int) else os.stat(path, follow_symlinks=follow_symlinks)
    return BirthTime(found.st_mtime_ns, MODIFICATION)
