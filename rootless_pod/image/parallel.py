"""Several blobs at once: threads, since their work (sockets, files, hashes, compression) lets go of the interpreter.

The threads are daemons: after ctrl-c the process ends without waiting for them.
"""

from __future__ import annotations

import queue
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless_pod.image.progress import Progress
    from rootless_pod.oci.descriptor import Descriptor

    Job = Callable[[Descriptor, Callable[[int], None]], tuple[Descriptor, str]]

_REPORT_SECONDS = 0.1


class _Stopped(Exception):
    """Another blob failed: give up."""


class _Pool:
    """What the threads share."""

    def __init__(self, blobs: Sequence[Descriptor], job: Job) -> None:
        self.job = job
        self.waiting: queue.SimpleQueue[tuple[int, Descriptor]] = queue.SimpleQueue()
        for number, blob in enumerate(blobs):
            self.waiting.put((number, blob))
        self.told: queue.SimpleQueue[tuple[int, object]] = queue.SimpleQueue()
        self.stopped = False

    def work(self) -> None:
        """Take blobs until there are none; every one that was taken is answered for."""
        while not self.stopped:
            try:
                number, blob = self.waiting.get_nowait()
            except queue.Empty:
                return
            self.told.put((number, "begun"))
            try:
                self.told.put((number, self.job(blob, self._reporter(number))))
            except BaseException as fault:
                self.told.put((number, fault))

    def _reporter(self, number: int) -> Callable[[int], None]:
        said_at = time.monotonic()

        def report(seen: int) -> None:
            nonlocal said_at
            if self.stopped:
                raise _Stopped
            now = time.monotonic()
            if now - said_at >= _REPORT_SECONDS:
                said_at = now
                self.told.put((number, seen))

        return report


def run_all(blobs: Sequence[Descriptor], job: Job, *, workers: int, progress: Progress) -> list[Descriptor]:
    """Run ``job`` for every blob and return its results in order.

    Raises:
        Exception: what the first failing job raised, after the others have stopped at their next piece.
    """
    pool = _Pool(blobs, job)
    threads = [threading.Thread(target=pool.work, daemon=True) for _ in range(min(workers, len(blobs)))]
    for thread in threads:
        thread.start()
    results: dict[int, Descriptor] = {}
    try:
        while len(results) < len(blobs):
            number, told = pool.told.get()
            blob = blobs[number]
            if told == "begun":
                progress.begin(blob.digest, blob.size)
            elif isinstance(told, int):
                progress.advance(blob.digest, told)
                progress.refresh()
            elif isinstance(told, BaseException):
                raise told
            elif isinstance(told, tuple):
                results[number], outcome = told
                progress.finish(blob.digest, outcome)
    except BaseException:
        pool.stopped = True
        for thread in threads:
            thread.join(1.0)
        raise
    return [results[number] for number in range(len(blobs))]
