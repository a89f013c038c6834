"""Reading the event log: what was, what comes, across rotation and damage."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless_pod.state import events
from rootless_pod.state.eventlog import Event, follow_events, parse_event, read_events

PATIENCE_NS = 20_000_000_000


def write(directory: Path, *ids: str, size_max: int = events.SIZE_MAX) -> None:
    for one in ids:
        events.append(str(directory), {"type": "volume", "action": "create", "id": one}, size_max=size_max)


def ids(found: Iterator[Event]) -> list[str]:
    return [event.id for event in found if event.action != "refresh"]


def test_no_log_is_no_event(tmp_path: Path) -> None:
    assert list(read_events(str(tmp_path / "absent"))) == []


def test_events_come_in_order_from_both_logs(tmp_path: Path) -> None:
    numbers = [str(number) for number in range(30)]
    write(tmp_path, *numbers, size_max=2000)
    assert (tmp_path / events.OLD_LOG).exists()
    found = ids(read_events(str(tmp_path)))
    assert found == numbers[-len(found) :]
    assert len(found) >= 2000 // 90


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"time_ns":1}',
        b'{"time_ns":"1","type":"a","action":"b"}',
        b'{"time_ns":1,"type":2,"action":"b"}',
        b'{"time_ns":1,"type":"a","action":"b","attributes":[1]}',
        b'{"time_ns":1,"type":"a","action":"b","exit_code":"0"}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_event_is_passed_over(tmp_path: Path, line: bytes) -> None:
    write(tmp_path, "a")
    with open(tmp_path / events.LOG, "ab") as file:
        file.write(line + b"\n")
    write(tmp_path, "b")
    assert ids(read_events(str(tmp_path))) == ["a", "b"]


def test_a_last_line_without_end_is_not_shown_until_it_is_ended(tmp_path: Path) -> None:
    write(tmp_path, "a")
    with open(tmp_path / events.LOG, "ab") as file:
        file.write(b'{"time_ns":1,"type":"volume","action":"create","id":"torn"')
    assert ids(read_events(str(tmp_path))) == ["a"]


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_parsing_takes_any_bytes(line: bytes) -> None:
    event = parse_event(line)
    assert event is None or isinstance(event.action, str)


def test_following_begins_with_what_comes_and_ends_with_the_time(tmp_path: Path) -> None:
    write(tmp_path, "before")
    heard: list[str] = []
    follower = follow_events(str(tmp_path), history=False, until_ns=time.time_ns() + 700_000_000)
    thread = threading.Thread(target=lambda: heard.extend(ids(follower)))
    thread.start()
    time.sleep(0.3)
    write(tmp_path, "after")
    thread.join(30)
    assert not thread.is_alive()
    assert heard == ["after"]


def test_the_end_may_be_a_year_away(tmp_path: Path) -> None:
    heard: list[str] = []
    follower = follow_events(str(tmp_path), history=False, until_ns=time.time_ns() + 366 * 86400 * 1_000_000_000)
    thread = threading.Thread(target=lambda: heard.extend(islice((e.id for e in follower if e.id), 1)))
    thread.start()
    time.sleep(0.2)
    write(tmp_path, "first")
    thread.join(30)
    assert heard == ["first"]


def test_a_log_that_does_not_exist_yet_can_be_followed(tmp_path: Path) -> None:
    heard: list[str] = []
    follower = follow_events(str(tmp_path / "new"), history=True, until_ns=time.time_ns() + PATIENCE_NS)
    thread = threading.Thread(target=lambda: heard.extend(islice((e.id for e in follower if e.id), 1)))
    thread.start()
    time.sleep(0.2)
    write(tmp_path / "new", "first")
    thread.join(30)
    assert heard == ["first"]


def test_a_follower_misses_nothing_while_many_write_and_the_log_is_rotated(tmp_path: Path) -> None:
    """Rotation every 400 events or so: no reader that keeps up can be two logs behind."""
    writers, each = 6, 250
    follower = follow_events(str(tmp_path), history=True, until_ns=time.time_ns() + PATIENCE_NS)
    heard: list[Event] = []
    wanted = writers * each
    thread = threading.Thread(target=lambda: heard.extend(islice((e for e in follower if e.id), wanted)))
    thread.start()
    pids = []
    for writer in range(writers):
        pid = os.fork()
        if pid == 0:
            for turn in range(each):
                write(tmp_path, f"{writer}.{turn}", size_max=40_000)
                time.sleep(0.001)
            os._exit(0)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * writers
    thread.join(40)
    assert sorted(event.id for event in heard) == sorted(f"{w}.{t}" for w in range(writers) for t in range(each))
    assert [event.time_ns for event in heard] == sorted(event.time_ns for event in heard)
    assert (tmp_path / events.OLD_LOG).exists()
