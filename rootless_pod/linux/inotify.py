"""inotify(7): hear of changes in directories and files, as a descriptor for ``poll``."""

from __future__ import annotations

import os

from rootless_pod.frozen import Frozen
from rootless_pod.linux import libc

IN_MODIFY = 0x2
IN_ATTRIB = 0x4
IN_CLOSE_WRITE = 0x8
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x01000000

_HEADER_BYTES = 16


class Event(Frozen):
    """One event: ``name`` is the entry of a watched directory, empty for the watched object itself."""

    watch: int
    mask: int
    name: bytes


class Inotify:
    """An inotify instance; ``fd`` (non-blocking) is readable when there are events. Close it, or use ``with``."""

    def __init__(self) -> None:
        """Open the instance.

        Raises:
            OSError: ``EMFILE`` where the user's limit of instances is reached.
        """
        self.fd = libc.call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)

    def add(self, path: str | bytes, mask: int) -> int:
        """Watch ``path`` for the events ``IN_*`` in ``mask``; return the number its events carry."""
        return libc.call("inotify_add_watch", self.fd, libc.encoded(path), mask, path=path)

    def remove(self, watch: int) -> None:
        """Stop watching; one that ended by itself is no error."""
        try:
            libc.call("inotify_rm_watch", self.fd, watch)
        except OSError:
            pass

    def read(self) -> list[Event]:
        """Return the events that wait, possibly none."""
        try:
            data = os.read(self.fd, 65536)
        except BlockingIOError:
            return []
        return parse_events(data)

    def close(self) -> None:
        """Close the instance; idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Inotify:
        """Return the instance."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close it."""
        self.close()


def parse_events(data: bytes) -> list[Event]:
    """Decode what read(2) gave: ``struct inotify_event`` (wd, mask, cookie, len) and a name padded with zeros."""
    import sys

    events = []
    at = 0
    while at + _HEADER_BYTES <= len(data):
        watch = int.from_bytes(data[at : at + 4], sys.byteorder, signed=True)
        mask = int.from_bytes(data[at + 4 : at + 8], sys.byteorder)
        length = int.from_bytes(data[at + 12 : at + 16], sys.byteorder)
        name = data[at + _HEADER_BYTES : at + _HEADER_BYTES + length].rstrip(b"\0")
        events.append(Event(watch=watch, mask=mask, name=name))
        at += _HEADER_BYTES + length
    return events
