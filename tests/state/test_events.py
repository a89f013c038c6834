"""The event log: whole lines in order, whoever writes and however they end."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from rootless_pod.paths import Paths
from rootless_pod.state import events

PROCESSES = 8
EACH = 50


def lines_of(directory: Path) -> list[bytes]:
    """Return the lines of both logs, without the one that begins a boot."""
    old = directory / events.OLD_LOG
    text = (old.read_bytes() if old.exists() else b"") + (directory / events.LOG).read_bytes()
    return [line for line in text.splitlines() if b'"refresh"' not in line]


def in_children(work) -> None:
    """Run ``work(number)`` in many processes that begin together."""
    go_read, go_write = os.pipe()
    pids = []
    for number in range(PROCESSES):
        pid = os.fork()
        if pid == 0:
            os.close(go_write)
            os.read(go_read, 1)
            try:
                work(number)
            except BaseException:
                os._exit(1)
            os._exit(0)
        pids.append(pid)
    os.close(go_read)
    os.close(go_write)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * PROCESSES


def test_no_event_of_many_writers_is_lost_torn_or_out_of_time(tmp_path: Path) -> None:
    def work(number: int) -> None:
        for turn in range(EACH):
            events.append(str(tmp_path / "new"), {"id": f"{number}.{turn}", "text": "x" * (turn * 97 % 1500)})

    in_children(work)
    found = [json.loads(line) for line in lines_of(tmp_path / "new")]
    assert sorted(one["id"] for one in found) == sorted(f"{n}.{t}" for n in range(PROCESSES) for t in range(EACH))
    times = [one["time_ns"] for one in found]
    assert times == sorted(times)


def test_rotation_under_many_writers_keeps_the_newest_and_the_bound(tmp_path: Path) -> None:
    size_max = 4000

    def work(number: int) -> None:
        for turn in range(EACH):
            events.append(str(tmp_path), {"id": f"{number}.{turn}"}, size_max=size_max)

    in_children(work)
    found = [json.loads(line) for line in lines_of(tmp_path)]
    assert [one["time_ns"] for one in found] == sorted(one["time_ns"] for one in found)
    assert sorted(os.listdir(tmp_path)) == [events.LOG, events.OLD_LOG]
    for name in os.listdir(tmp_path):
        assert (tmp_path / name).stat().st_size < size_max + 200
    assert (tmp_path / events.OLD_LOG).stat().st_size >= size_max


def test_a_line_torn_by_a_kill_spoils_no_other(tmp_path: Path) -> None:
    events.append(str(tmp_path), {"id": "first"})
    with open(tmp_path / events.LOG, "ab") as file:
        file.write(b'{"time_ns":12345,"id":"to')
    events.append(str(tmp_path), {"id": "second"})
    events.append(str(tmp_path), {"id": "third"})
    lines = lines_of(tmp_path)
    assert lines[1] == b'{"time_ns":12345,"id":"to'
    assert [json.loads(lines[at])["id"] for at in (0, 2, 3)] == ["first", "second", "third"]


def test_a_killed_writer_holds_nobody_up(tmp_path: Path) -> None:
    for _round in range(20):
        pid = os.fork()
        if pid == 0:
            while True:
                events.append(str(tmp_path), {"id": "x" * 3000}, size_max=30_000)
        while not (tmp_path / events.LOG).exists():
            pass
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        events.append(str(tmp_path), {"id": "after"})
        assert json.loads(lines_of(tmp_path)[-1])["id"] == "after"


def test_what_cannot_be_written_is_said_and_fails_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    paths = Paths(graphroot=str(tmp_path), runroot=str(tmp_path / "file"), boot_id="b")
    events.emit(paths, "volume", "create", id="v")
    assert "the event volume create is not in the event log" in capfd.readouterr().err


def test_the_log_of_a_boot_begins_with_one_refresh(tmp_path: Path) -> None:
    in_children(lambda number: events.append(str(tmp_path), {"id": str(number)}))
    whole = (tmp_path / events.LOG).read_bytes().splitlines()
    assert [b'"refresh"' in line for line in whole] == [True] + [False] * PROCESSES


def test_an_event_says_only_what_it_has(tmp_path: Path) -> None:
    paths = Paths(graphroot=str(tmp_path), runroot=str(tmp_path), boot_id="b")
    events.emit(paths, "volume", "create", id="", name="v")
    events.emit(paths, "container", "died", id="c", name="n", image="i", exit_code=0, attributes={"a": "b"})
    first, second = (json.loads(line) for line in lines_of(Path(paths.events)))
    assert set(first) == {"time_ns", "type", "action", "name"}
    assert {key: second[key] for key in ("exit_code", "attributes", "name", "image")} == {
        "exit_code": 0, "attributes": {"a": "b"}, "name": "n", "image": "i",
    }  # fmt: skip
    assert (Path(paths.events) / events.LOG).stat().st_mode & 0o777 == 0o600
