"""One line of a k8s-file log: ``TIME STREAM F|P TEXT``. Hot, pure.

Source: the Kubernetes CRI log format; conmon 2.1.6 writes RFC 3339 with nine digits and the local offset.
"""

from __future__ import annotations

from rootless_pod.frozen import Frozen

LONGEST_HELD_BYTES = 1 << 20
_DAYS_BEFORE_MONTH = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)


class LogLine(Frozen):
    """One line the container wrote, its parts joined; or a part of one that it did not end (yet).

    ``text`` has no line end; ``ended`` tells whether there was one. ``continued`` marks what goes on with a line of
    which a part was handed out before. ``timestamp`` is that of the line's first part, as the monitor wrote it;
    ``time_ns`` the same since the epoch. ``stream`` is ``stdout`` or ``stderr``.
    """

    timestamp: str
    time_ns: int
    stream: str
    text: bytes
    ended: bool = True
    continued: bool = False


def parse_timestamp(text: str) -> int:
    """Return nanoseconds since the epoch of ``2026-01-02T03:04:05.123456789+00:00`` (or ``Z``; fraction optional).

    Raises:
        ValueError: it is something else.
    """
    if len(text) < 20 or text[4] != "-" or text[7] != "-" or text[10] not in "Tt " or text[13] != ":":
        raise ValueError(f"not a timestamp: {text!r}")
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    seconds = _days(year, month, day) * 86400 + int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
    rest = text[19:]
    fraction = ""
    if rest[0] == ".":
        digits = len(rest) - len(rest[1:].lstrip("0123456789")) - 1
        fraction, rest = rest[1 : 1 + digits], rest[1 + digits :]
    if rest not in ("Z", "z"):
        if len(rest) != 6 or rest[0] not in "+-" or rest[3] != ":":
            raise ValueError(f"not a timestamp: {text!r}")
        offset = int(rest[1:3]) * 3600 + int(rest[4:6]) * 60
        seconds -= offset if rest[0] == "+" else -offset
    return seconds * 1_000_000_000 + int((fraction + "000000000")[:9])


def _days(year: int, month: int, day: int) -> int:
    """Return days since 1970-01-01 in the Gregorian calendar."""
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        raise ValueError("no such day")
    leap_years = year if month > 2 else year - 1
    leaps = leap_years // 4 - leap_years // 100 + leap_years // 400
    return year * 365 + leaps + _DAYS_BEFORE_MONTH[month - 1] + day - 719528


class _Begun:
    """A line whose end has not been seen."""

    __slots__ = ("continued", "size", "texts", "time_ns", "timestamp")

    def __init__(self, timestamp: str, time_ns: int) -> None:
        self.timestamp = timestamp
        self.time_ns = time_ns
        self.texts: list[bytes] = []
        self.size = 0
        self.continued = False

    def take(self, stream: str, *, ended: bool) -> LogLine:
        """Hand out what is held; the line may go on after it."""
        line = LogLine(
            timestamp=self.timestamp,
            time_ns=self.time_ns,
            stream=stream,
            text=b"".join(self.texts),
            ended=ended,
            continued=self.continued,
        )
        self.texts, self.size, self.continued = [], 0, True
        return line


class Joiner:
    """Joins the parts of lines, for each stream apart: both may be in the middle of one."""

    def __init__(self) -> None:
        """Begin with nothing held."""
        self._begun: dict[str, _Begun] = {}
        self._timestamp = ""
        self._time_ns = 0

    def feed(self, raw: bytes) -> LogLine | None:
        """Take one line of the file without its line end; return what may be shown now.

        What is not in the format (a damaged file) is taken as text of stdout with the last known time. A line longer
        than ``LONGEST_HELD_BYTES`` is handed out in parts.
        """
        parts = raw.split(b" ", 3)
        if len(parts) != 4 or parts[2] not in (b"F", b"P") or parts[1] not in (b"stdout", b"stderr"):
            return LogLine(timestamp=self._timestamp, time_ns=self._time_ns, stream="stdout", text=raw)
        stream = parts[1].decode()
        begun = self._begun.get(stream)
        if begun is None:
            self._set_time(parts[0])
            begun = self._begun[stream] = _Begun(self._timestamp, self._time_ns)
        begun.texts.append(parts[3])
        begun.size += len(parts[3])
        if parts[2] == b"F":
            del self._begun[stream]
            return begun.take(stream, ended=True)
        return begun.take(stream, ended=False) if begun.size >= LONGEST_HELD_BYTES else None

    def flush(self) -> list[LogLine]:
        """Return the beginnings of lines that are held back, oldest first; their rest will be ``continued``."""
        lines = [begun.take(stream, ended=False) for stream, begun in self._begun.items() if begun.texts]
        return sorted(lines, key=lambda line: line.time_ns)

    def _set_time(self, raw: bytes) -> None:
        timestamp = raw.decode(errors="replace")
        try:
            self._time_ns = parse_timestamp(timestamp)
        except ValueError:
            return
        self._timestamp = timestamp
