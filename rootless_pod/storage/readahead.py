"""A stream read by a thread of its own, a little ahead of who wants it.

Downloading, hashing and decompressing let go of the interpreter, and so does making files: two cores work on one layer.
"""

from __future__ import annotations

import threading
from collections import deque

from rootless_pod.oci.digest import new_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.storage.compress import Readable

_PIECE = 1 << 18
_AHEAD_BYTES = 4 << 20


class ReadAhead:
    """Reads ``stream`` in a thread; what it raises, ``read`` raises. Close it before what the stream reads from."""

    def __init__(self, stream: Readable) -> None:
        """Begin to read; ``digest`` covers, once the end was reached, every byte."""
        self._stream = stream
        self.digest = new_hash()
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._fault: BaseException | None = None
        self._ended = False
        self._closed = False
        self._spare = b""
        self._used = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        fault: BaseException | None = None
        try:
            while data := self._stream.read(_PIECE):
                self.digest.update(data)
                with self._changed:
                    self._pieces.append(data)
                    self._waiting_bytes += len(data)
                    self._changed.notify()
                    while self._waiting_bytes > _AHEAD_BYTES and not self._closed:
                        self._changed.wait()
                    if self._closed:
                        return
        except BaseException as cause:
            fault = cause
        with self._changed:
            self._fault = fault
            self._ended = True
            self._changed.notify()

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end; raises what the stream raised, after all that came before."""
        if self._used >= len(self._spare):
            self._spare, self._used = self._next(), 0
        start = self._used
        self._used = min(start + size, len(self._spare))
        return self._spare if self._used - start == len(self._spare) else self._spare[start : self._used]

    def _next(self) -> bytes:
        with self._changed:
            while not self._pieces and not self._ended:
                self._changed.wait()
            if self._pieces:
                data = self._pieces.popleft()
                self._waiting_bytes -= len(data)
                self._changed.notify()
                return data
            if self._fault is not None:
                raise self._fault
            return b""

    def close(self) -> None:
        """End the thread at its next piece; idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
