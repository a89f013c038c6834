"""Locks that end with their process."""

from __future__ import annotations

import os
import shutil
import signal
import threading

import pytest

from rootless_pod.state.lock import Lock


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "lock")


def test_one_at_a_time_and_again_after_release(path):
    with Lock(path):
        assert not Lock(path).acquire(wait=False)
    with Lock(path) as second:
        second.release()
        second.release()
        assert Lock(path).acquire(wait=False)


def test_shared_locks_go_together_and_keep_an_exclusive_one_out(path):
    with Lock(path, shared=True), Lock(path, shared=True):
        assert not Lock(path).acquire(wait=False)


def test_a_killed_process_gives_its_lock_back(path):
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        Lock(path).acquire()
        os.write(ready_write, b"x")
        signal.pause()
    os.read(ready_read, 1)
    assert not Lock(path).acquire(wait=False)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with Lock(path):
        pass
    os.close(ready_read)
    os.close(ready_write)


def _wait_for(path, then):
    """Hold the lock while another thread waits for it; return what became of that one."""
    outcome = []

    def second():
        try:
            with Lock(path):
                outcome.append(os.stat(path).st_ino)
        except OSError as error:
            outcome.append(type(error))

    first = Lock(path)
    first.acquire()
    waiting = threading.Thread(target=second)
    waiting.start()
    waiting.join(0.1)
    assert outcome == []
    then()
    first.release()
    waiting.join(10)
    return outcome


def test_whoever_waited_for_a_lock_whose_object_was_removed_is_told(path, tmp_path):
    assert _wait_for(path, lambda: shutil.rmtree(tmp_path)) == [FileNotFoundError]


def test_whoever_waited_for_a_file_that_was_made_again_holds_the_new_one(path):
    def remake():
        os.unlink(path)
        with open(path, "x", encoding="ascii"):
            pass

    assert _wait_for(path, remake) == [os.stat(path).st_ino]
