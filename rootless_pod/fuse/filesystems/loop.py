"""A scheduler for pyfuse3 that costs nothing while requests don't wait.

pyfuse3 takes the module its tasks run on from ``pyfuse3.trio``; ``pyfuse3.asyncio`` replaces it in the same way.
With trio each request is two switches of tasks and two system calls around epoll, about half of what a look-up takes
altogether. Here the task that reads /dev/fuse keeps running as long as its requests are answered at once; only
a request that waits for a worker thread lets the next task read on.

One ``Loop`` a process. Threads live for one job.
"""

from __future__ import annotations

import collections
import os
import select
import threading
import types
from typing import TYPE_CHECKING

import pyfuse3

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator
    from typing import Any, Self, TypeVar

    Result = TypeVar("Result")

MAX_TASKS = 16
"""So many requests may wait for threads at a time, less one."""


class Task:
    """A coroutine that runs, or waits to be made ready again."""

    __slots__ = ("coroutine", "name")

    def __init__(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        """Nothing runs yet."""
        self.coroutine = coroutine
        self.name = name


@types.coroutine
def _suspend() -> Generator[None, None, None]:
    """Stop the running task until somebody puts it on the ready list."""
    yield


class Loop:
    """Runs tasks one at a time, until none is left."""

    def __init__(self) -> None:
        """Make the pipe by which threads say that they are done."""
        self.current: Task | None = None
        self._ready: collections.deque[Task] = collections.deque()
        self._spare: collections.deque[Task] = collections.deque()
        self._done: collections.deque[Task] = collections.deque()
        self._threads = 0
        self._poller: select.poll | None = None
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def start(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        """Run ``coroutine`` when no other task can."""
        self._spare.append(Task(coroutine, name))

    def run(self) -> None:
        """Run all tasks to their ends; what one of them raises ends everything."""
        while True:
            if self._ready:
                task = self._ready.popleft()
            elif self._spare:
                task = self._spare.popleft()
            elif self._threads:
                select.select([self._wake_read], [], [])
                self._collect()
                continue
            else:
                return
            self.current = task
            try:
                task.coroutine.send(None)
            except StopIteration:
                pass

    def _collect(self) -> None:
        """Make the tasks ready whose threads are done."""
        os.read(self._wake_read, 4096)
        while self._done:
            self._threads -= 1
            self._ready.append(self._done.popleft())

    def resume(self, task: Task) -> None:
        """Let a stopped task go on, after the running one."""
        self._ready.append(task)

    def running(self) -> Task:
        """Return the running task."""
        if self.current is None:
            raise RuntimeError("no task is running")
        return self.current

    async def in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run ``function`` in a thread while other tasks go on; return its result or raise what it raised."""
        task = self.running()
        outcome: list[Result] = []
        failure: list[BaseException] = []

        def work() -> None:
            try:
                outcome.append(function(*arguments))
            except BaseException as error:
                failure.append(error)
            self._done.append(task)
            os.write(self._wake_write, b"\0")

        self._threads += 1
        threading.Thread(target=work, daemon=True).start()
        await _suspend()
        if failure:
            raise failure[0]
        return outcome[0]

    async def wait_readable(self, fd: int) -> None:
        """Return when ``fd`` can be read; tasks that are ready by then go first."""
        if self._poller is None:
            self._poller = select.poll()
            self._poller.register(fd, select.POLLIN)
            self._poller.register(self._wake_read, select.POLLIN)
        while True:
            if not self._ready:
                events = self._poller.poll()
                if any(number == self._wake_read for number, _event in events):
                    self._collect()
                    continue
                return
            self._ready.append(self.running())
            await _suspend()


loop = Loop()


class Lock:
    """A lock between tasks, given on in the order of asking."""

    def __init__(self) -> None:
        """Nobody holds it."""
        self._held = False
        self._waiting: collections.deque[Task] = collections.deque()

    async def __aenter__(self) -> Self:
        if self._held:
            self._waiting.append(loop.running())
            await _suspend()
        self._held = True
        return self

    async def __aexit__(self, *_failure: object) -> None:
        if self._waiting:
            loop.resume(self._waiting.popleft())
        else:
            self._held = False


class _Nursery:
    """What pyfuse3 starts its tasks in."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_failure: object) -> None:
        """Return at once: ``Loop.run`` ends when the tasks have."""

    def start_soon(self, function: Callable[..., Awaitable[None]], *arguments: Any, name: str = "") -> None:
        async def call() -> None:
            await function(*arguments)

        loop.start(call(), name)


class _ClosedResourceError(Exception):
    """Never raised here; pyfuse3 names it."""


def serve() -> None:
    """Answer the kernel until the file system of ``pyfuse3.init`` is unmounted."""
    stand_in = types.SimpleNamespace(
        ClosedResourceError=_ClosedResourceError,
        Lock=Lock,
        open_nursery=_Nursery,
        lowlevel=types.SimpleNamespace(
            current_task=loop.running,
            current_trio_token=lambda: loop,
            notify_closing=lambda _fd: None,
            wait_readable=loop.wait_readable,
        ),
    )
    vars(pyfuse3)["trio"] = stand_in  # as pyfuse3.asyncio does; checkers may see pyfuse3 or not
    # With no idle task allowed, a task that comes back from waiting for a thread ends: one reader is enough.
    loop.start(pyfuse3.main(0, MAX_TASKS), "main")
    loop.run()
