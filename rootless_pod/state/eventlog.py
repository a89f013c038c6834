"""Read and follow the event log of this boot, while others write, rotate and are killed."""

from __future__ import annotations

import os
import time

from rootless_pod import jsontext
from rootless_pod.frozen import Frozen
from rootless_pod.state.events import LOG, OLD_LOG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless_pod.linux.inotify import Inotify

_BLOCK_BYTES = 1 << 16
_LONGEST_WAIT_MS = 1e9
"""Twelve days: poll(2) takes no number of more than 31 bits."""


class Event(Frozen):
    """One event; ``kind`` and ``action`` as podman names them, ``exit_code`` None where nothing ended."""

    time_ns: int
    kind: str
    action: str
    id: str = ""
    name: str = ""
    image: str = ""
    exit_code: int | None = None
    attributes: dict[str, str] = {}


def parse_event(line: bytes) -> Event | None:
    """Return the event of a line of the log; None for what a killed writer left."""
    try:
        found = jsontext.loads(line)
        event = Event(
            time_ns=found["time_ns"],
            kind=found["type"],
            action=found["action"],
            id=found.get("id", ""),
            name=found.get("name", ""),
            image=found.get("image", ""),
            exit_code=found.get("exit_code"),
            attributes={str(key): str(value) for key, value in (found.get("attributes") or {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    texts = (event.kind, event.action, event.id, event.name, event.image)
    whole = isinstance(event.time_ns, int) and isinstance(event.exit_code, (int, type(None)))
    return event if whole and all(isinstance(one, str) for one in texts) else None


def read_events(directory: str) -> Iterator[Event]:
    """Yield what has happened, oldest first; no log (yet) is no event."""
    for reader in _open_both(directory):
        with reader:
            yield from reader.events()


def follow_events(directory: str, *, history: bool, until_ns: int | None = None) -> Iterator[Event]:
    """Yield events as they are written, until ``until_ns`` has passed; ``history``: those before now first.

    Nothing is polled. A full log that is put aside is read to its end first. Only who reads more slowly than two whole
    logs are filled misses events.
    """
    from rootless_pod.linux.inotify import IN_CREATE, IN_MODIFY, IN_MOVED_TO, Inotify

    os.makedirs(directory, mode=0o700, exist_ok=True)
    with Inotify() as changes:
        changes.add(directory, IN_MODIFY | IN_CREATE | IN_MOVED_TO)
        readers = _open_both(directory)
        if not history:
            for reader in readers:
                reader.skip()
        while True:
            while readers:
                yield from readers[0].events()
                if len(readers) == 1:
                    readers += _newer(directory, readers[0])
                if len(readers) == 1:
                    break
                # Another log has the name: nothing is written to this one any more, what is there now is all.
                yield from readers[0].events()
                readers.pop(0).close()
            if not readers and (readers := _open_both(directory)):
                continue
            if not _wait(changes, until_ns):
                return


class _Reader:
    """One open log file: hands out the events of whole lines from where it stands."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""
        self._skips = False
        self.file = os.fstat(fd)

    def skip(self) -> None:
        """Go to the end; a line being written now counts as new."""
        for _event in self.events():
            pass

    def events(self) -> Iterator[Event]:
        """Yield the events of the whole lines that are there now."""
        while block := os.read(self._fd, _BLOCK_BYTES):
            lines = (self._rest + block).split(b"\n")
            self._rest = lines.pop()
            for line in lines:
                event = parse_event(line)
                if event is not None:
                    yield event

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def _open(path: str) -> _Reader | None:
    try:
        return _Reader(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except FileNotFoundError:
        return None


def _open_both(directory: str) -> list[_Reader]:
    """Open the log and the one before it, oldest first, as they stood together at one moment."""
    while True:
        current, old = _open(f"{directory}/{LOG}"), _open(f"{directory}/{OLD_LOG}")
        again = _open(f"{directory}/{LOG}")
        same = (again is None) == (current is None)
        if again is not None:
            same = same and current is not None and os.path.samestat(again.file, current.file)
            again.close()
        readers = [reader for reader in (old, current) if reader is not None]
        if same:
            return readers
        for reader in readers:
            reader.close()


def _newer(directory: str, reader: _Reader) -> list[_Reader]:
    """Open the logs that came after the one of ``reader``; none while it is still the one written to."""
    both = _open_both(directory)
    places = [at for at, one in enumerate(both) if os.path.samestat(one.file, reader.file)]
    begin = places[0] + 1 if places else 0
    for one in both[:begin]:
        one.close()
    return both[begin:]


def _wait(changes: Inotify, until_ns: int | None) -> bool:
    """Wait until something in the directory changes; return False once the time is over."""
    import select

    left_ms = None
    if until_ns is not None:
        left_ms = min((until_ns - time.time_ns()) / 1_000_000, _LONGEST_WAIT_MS)
        if left_ms <= 0:
            return False
    poller = select.poll()
    poller.register(changes.fd, select.POLLIN)
    poller.poll(left_ms)
    changes.read()
    return True
