from __future__ import annotations

import os
import signal
import subprocess
import threading
import time

import pytest

from rootless_pod.linux import procfs
from rootless_pod.monitor.exitfile import read_exit, remove_exit, wait_exit

ID = "abc"


@pytest.fixture
def monitor():
    """A process that plays the monitor: it lives until it is killed."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def put(directory, text, name=ID):
    (directory / f".{name}.tmp").write_text(text)
    os.rename(directory / f".{name}.tmp", directory / name)


def wait(directory, process, **more):
    return wait_exit(str(directory), ID, conmon_pid=process.pid, conmon_started=procfs.start_time(process.pid), **more)


@pytest.mark.parametrize(("text", "code"), [("0", 0), ("137\n", 137), ("-1", 255)])
def test_the_code_and_the_time_are_read(tmp_path, text, code):
    before = time.time_ns()
    put(tmp_path, text)
    status = read_exit(str(tmp_path), ID)
    assert (status.code, status.known, status.oom) == (code, True, False)
    assert before - 1_000_000_000 <= status.finished_ns <= time.time_ns()


def test_an_empty_or_missing_file_says_nothing(tmp_path):
    assert read_exit(str(tmp_path), ID) is None
    put(tmp_path, "")
    assert read_exit(str(tmp_path), ID) is None
    put(tmp_path, "x")
    assert read_exit(str(tmp_path), ID) is None


def test_the_oom_file_is_seen(tmp_path):
    put(tmp_path, "137")
    assert not read_exit(str(tmp_path), ID, persist_dir=str(tmp_path)).oom
    (tmp_path / "oom").write_text("")
    assert read_exit(str(tmp_path), ID, persist_dir=str(tmp_path)).oom


def test_removing_is_idempotent(tmp_path):
    put(tmp_path, "0")
    remove_exit(str(tmp_path), ID)
    remove_exit(str(tmp_path), ID)
    assert read_exit(str(tmp_path), ID) is None


def test_waiting_ends_with_the_file_though_others_come_first(tmp_path, monitor):
    def write():
        for number in range(30):
            put(tmp_path, "1", name=f"other{number}")
            time.sleep(0.002)
        put(tmp_path, "5")

    thread = threading.Thread(target=write)
    thread.start()
    assert wait(tmp_path, monitor, timeout_seconds=10).code == 5
    thread.join()


def test_waiting_ends_with_the_monitor(tmp_path, monitor):
    started = procfs.start_time(monitor.pid)
    threading.Timer(0.2, monitor.send_signal, (signal.SIGKILL,)).start()
    status = wait_exit(str(tmp_path), ID, conmon_pid=monitor.pid, conmon_started=started, timeout_seconds=10)
    assert (status.code, status.known) == (-1, False)


def test_a_pid_that_belongs_to_another_process_now_is_no_monitor(tmp_path, monitor):
    begun = time.monotonic()
    status = wait_exit(str(tmp_path), ID, conmon_pid=monitor.pid, conmon_started=1, timeout_seconds=10)
    assert time.monotonic() - begun < 1
    assert not status.known


def test_without_a_monitor_the_file_still_counts(tmp_path):
    put(tmp_path, "3")
    assert wait_exit(str(tmp_path), ID, conmon_pid=0, conmon_started=None).code == 3


def test_a_limit_gives_none_and_closes_everything(tmp_path, monitor):
    before = len(os.listdir("/proc/self/fd"))
    assert wait(tmp_path, monitor, timeout_seconds=0.05) is None
    assert wait(tmp_path, monitor, timeout_seconds=0) is None
    assert len(os.listdir("/proc/self/fd")) == before
