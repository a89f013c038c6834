"""The scheduler: requests that wait for threads don't hold the others up."""

from __future__ import annotations

import os
import threading

import pytest

pytest.importorskip("pyfuse3", reason="the extra 'fuse' is not installed")

from rootless_pod.fuse.filesystems import loop as loop_module
from rootless_pod.fuse.filesystems.loop import Lock, Loop


def test_others_run_while_one_waits_for_its_thread():
    loop, seen, may_end = Loop(), [], threading.Event()

    async def slow():
        seen.append("slow begins")
        assert await loop.in_thread(lambda: may_end.wait(10)) is True
        seen.append("slow ends")

    async def quick():
        seen.append("quick")
        may_end.set()

    loop.start(slow(), "slow")
    loop.start(quick(), "quick")
    loop.run()
    assert seen == ["slow begins", "quick", "slow ends"]


def test_what_a_thread_raises_is_raised_in_its_task():
    loop, seen = Loop(), []

    def fail():
        raise OSError(28, "full")

    async def task():
        try:
            await loop.in_thread(fail)
        except OSError as error:
            seen.append(error.errno)

    loop.start(task(), "task")
    loop.run()
    assert seen == [28]


def test_a_reader_lets_finished_threads_go_first_and_then_reads():
    loop, seen = Loop(), []
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)

    async def worker():
        seen.append(await loop.in_thread(lambda: "worked"))
        os.write(write_fd, b"x")

    async def reader():
        await loop.wait_readable(read_fd)
        seen.append(os.read(read_fd, 1))

    loop.start(worker(), "worker")
    loop.start(reader(), "reader")
    loop.run()
    os.close(read_fd)
    os.close(write_fd)
    assert seen == ["worked", b"x"]


def test_a_lock_is_given_on_in_order():
    loop, seen, lock = loop_module.loop, [], Lock()

    def task(name):
        async def run():
            async with lock:
                seen.append(f"{name} in")
                await loop.in_thread(lambda: None)
                seen.append(f"{name} out")

        return run()

    for name in "abc":
        loop.start(task(name), name)
    loop.run()
    assert seen == ["a in", "a out", "b in", "b out", "c in", "c out"]
