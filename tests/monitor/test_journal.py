"""Reading the journal, with a program that answers as journalctl does; the real one is tried in the virtual machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rootless_pod.errors import HostUnready, ProgramFailed
from rootless_pod.linux import procfs
from rootless_pod.monitor.journal import read_journal

ID = "a" * 64


def entry(message: object, microseconds: int, *, priority: int = 6, partial: bool = False) -> str:
    fields = {"__CURSOR": f"c{microseconds}", "__REALTIME_TIMESTAMP": str(microseconds), "PRIORITY": str(priority),
              "MESSAGE": message, "CONTAINER_ID_FULL": ID}  # fmt: skip
    return json.dumps({**fields, **({"CONTAINER_PARTIAL_MESSAGE": "true"} if partial else {})})


def program(place: Path, script: str) -> str:
    path = place / "journalctl"
    path.write_text(f'#!/bin/sh\necho "$*" >> {place}/calls\n{script}\n')
    path.chmod(0o755)
    return str(path)


def saying(place: Path, *entries: str) -> str:
    (place / "answer").write_text("".join(f"{one}\n" for one in entries))
    return program(place, f"cat {place}/answer")


def test_lines_have_their_stream_time_and_bytes(tmp_path: Path) -> None:
    found = list(read_journal(ID, program=saying(
        tmp_path, entry("out\n", 5), entry("err", 6, priority=3), entry([255, 10, 65], 7), entry(None, 8),
    )))  # fmt: skip
    assert [(line.stream, line.text, line.time_ns) for line in found] == [
        ("stdout", b"out", 5000), ("stderr", b"err", 6000), ("stdout", b"\xff\nA", 7000), ("stdout", b"", 8000),
    ]  # fmt: skip
    assert f"CONTAINER_ID_FULL={ID}" in (tmp_path / "calls").read_text()


def test_parts_are_joined_and_a_line_without_end_stays_without(tmp_path: Path) -> None:
    found = list(read_journal(ID, program=saying(
        tmp_path, entry("a", 1, partial=True), entry("x", 2, priority=3), entry("b", 3), entry("last", 4, partial=True),
    )))  # fmt: skip
    assert [(line.text, line.ended) for line in found] == [(b"x", True), (b"ab", True), (b"last", False)]


def test_times_and_tail(tmp_path: Path) -> None:
    answer = saying(tmp_path, *(entry(str(number), number) for number in range(1, 6)))
    found = read_journal(ID, since_ns=2000, until_ns=4000, tail=7, program=answer)
    assert [line.text for line in found] == [b"2", b"3", b"4"]
    assert "-n 7" in (tmp_path / "calls").read_text()


def test_an_empty_journal_has_no_lines(tmp_path: Path) -> None:
    assert list(read_journal(ID, program=program(tmp_path, "exit 1"))) == []


def test_a_failure_has_the_programs_words(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed, match="no access"):
        list(read_journal(ID, program=program(tmp_path, "echo no access >&2; exit 1")))
    with pytest.raises(HostUnready, match="journalctl is not installed"):
        list(read_journal(ID, program=str(tmp_path / "absent")))


def test_following_ends_with_the_monitor_and_misses_nothing(tmp_path: Path) -> None:
    """What is new is told by -f; what it is, is read after the last cursor, and once more when the monitor has gone."""
    script = f"""
case "$*" in
  *-f*) exec sleep 1000 ;;
  *after-cursor*) cat {tmp_path}/later; : > {tmp_path}/later ;;
  *) cat {tmp_path}/first ;;
esac"""
    (tmp_path / "first").write_text(entry("first", 1) + "\n")
    (tmp_path / "later").write_text(entry("later", 2) + "\n")
    monitor = os.fork()
    if monitor == 0:
        os.execv("/bin/sleep", ["sleep", "0.3"])
    followed = read_journal(
        ID, follow=True, conmon=(monitor, procfs.start_time(monitor)), program=program(tmp_path, script)
    )
    assert [line.text for line in followed] == [b"first", b"later"]
    os.waitpid(monitor, 0)
    assert "--after-cursor c1" in (tmp_path / "calls").read_text()
