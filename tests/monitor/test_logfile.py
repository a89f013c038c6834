from __future__ import annotations

import os
import tempfile
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless_pod.monitor import logline
from rootless_pod.monitor.logfile import read_log, tail_offset
from rootless_pod.monitor.logline import Joiner, parse_timestamp

AT = "2026-01-02T03:04:%02d.000000000+00:00"


def raw(second, stream, flag, text):
    return f"{AT % second} {stream} {flag} ".encode() + text + b"\n"


@pytest.fixture
def log(tmp_path):
    return str(tmp_path / "ctr.log")


def write(path, *lines):
    with open(path, "ab") as file:
        file.write(b"".join(lines))


def texts(path, **options):
    return [line.text for line in read_log(path, **options)]


def test_parts_are_joined_for_each_stream_apart(log):
    write(
        log,
        raw(1, "stdout", "P", b"a"),
        raw(2, "stderr", "P", b"x"),
        raw(3, "stdout", "F", b"b"),
        raw(4, "stderr", "F", b"y"),
    )
    lines = list(read_log(log))
    assert [(line.stream, line.text, line.timestamp) for line in lines] == [
        ("stdout", b"ab", AT % 1),
        ("stderr", b"xy", AT % 2),
    ]
    assert [line.ended for line in lines] == [True, True]


def test_a_line_without_an_end_comes_as_it_is(log):
    write(log, raw(1, "stdout", "F", b"a"), raw(2, "stdout", "P", b"prompt> "))
    assert [(line.text, line.ended) for line in read_log(log)] == [(b"a", True), (b"prompt> ", False)]


def test_text_keeps_its_blanks_bytes_and_carriage_returns(log):
    write(log, raw(1, "stdout", "F", b"  a  b \r"), raw(2, "stdout", "F", b"\xff\xfe"), raw(3, "stdout", "F", b""))
    assert texts(log) == [b"  a  b \r", b"\xff\xfe", b""]


def test_a_half_written_last_line_is_shown_as_not_ended(log):
    write(log, raw(1, "stdout", "F", b"a"), raw(2, "stdout", "F", b"half")[:-3])
    assert [(line.text, line.ended) for line in read_log(log)] == [(b"a", True), (b"ha", False)]


def test_damaged_lines_are_shown_as_text(log):
    write(log, raw(1, "stdout", "F", b"a"), b"no format here\n", raw(3, "stdout", "F", b"b"))
    assert texts(log) == [b"a", b"no format here", b"b"]


def test_a_missing_log_has_no_lines(log):
    assert texts(log) == []
    assert texts(log, tail=3) == []


def test_streams_and_times_choose(log):
    write(log, *(raw(second, "stdout" if second % 2 else "stderr", "F", b"%d" % second) for second in range(1, 9)))
    assert texts(log, streams=("stderr",)) == [b"2", b"4", b"6", b"8"]
    since, until = parse_timestamp(AT % 3), parse_timestamp(AT % 6)
    assert texts(log, since_ns=since) == [b"3", b"4", b"5", b"6", b"7", b"8"]
    assert texts(log, until_ns=until) == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert texts(log, since_ns=since, until_ns=until, streams=("stdout",)) == [b"3", b"5"]
    assert texts(log, tail=4, since_ns=since, until_ns=until) == [b"5", b"6"]


@pytest.mark.parametrize("block", ["short", "long"])
def test_tail_counts_lines_not_parts(log, block):
    size = 10 if block == "short" else 40_000
    for number in range(6):
        write(log, raw(1, "stdout", "P", b"p" * size), raw(2, "stdout", "F", b"%d" % number))
    write(log, raw(3, "stdout", "P", b"open"))
    wanted = [b"p" * size + b"%d" % number for number in range(6)] + [b"open"]
    for count in range(9):
        assert texts(log, tail=count) == wanted[-count:] * bool(count)


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.lists(st.binary(max_size=300).map(lambda text: text.replace(b"\n", b"")), min_size=1, max_size=3), max_size=40),
    count=st.integers(0, 45), open_end=st.booleans(),
)  # fmt: skip
def test_tail_is_the_end_of_the_whole(lines, count, open_end):
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/ctr.log"
        for number, parts in enumerate(lines):
            for part in parts[:-1]:
                write(path, raw(1, "stdout", "P", part))
            flag = "P" if open_end and number == len(lines) - 1 else "F"
            write(path, raw(1, "stdout", flag, parts[-1]))
        assert texts(path, tail=count) == (texts(path)[-count:] if count else [])


def test_tail_reads_only_the_end_of_a_large_log(log, tmp_path):
    write(log, raw(1, "stdout", "F", b"x" * 1000) * 20_000)
    fd = os.open(log, os.O_RDONLY)
    try:
        begun = time.perf_counter()
        offset = tail_offset(fd, 3)
        assert time.perf_counter() - begun < 0.05
    finally:
        os.close(fd)
    assert os.path.getsize(log) - offset == 3 * len(raw(1, "stdout", "F", b"x" * 1000))


def following(path, **options):
    """Follow in a thread; return the list it fills and the pipe's end that stops it."""
    stop_read, stop_write = os.pipe()
    seen = []

    def run():
        lines = read_log(path, follow=True, stop_fd=stop_read, **options)
        seen.extend((line.text, line.ended, line.continued) for line in lines)
        os.close(stop_read)

    thread = threading.Thread(target=run)
    thread.start()

    def stop():
        os.close(stop_write)
        thread.join(10)
        assert not thread.is_alive()
        return seen

    return seen, stop


def wait_for(seen, count):
    deadline = time.monotonic() + 10
    while len(seen) < count:
        assert time.monotonic() < deadline, seen
        time.sleep(0.005)


def test_following_begins_before_the_log_exists(log):
    seen, stop = following(log)
    write(log, raw(1, "stdout", "F", b"a"))
    wait_for(seen, 1)
    write(log, raw(1, "stdout", "F", b"b"))
    wait_for(seen, 2)
    assert [entry[0] for entry in stop()] == [b"a", b"b"]


def test_following_survives_replacement(log):
    write(log, raw(1, "stdout", "F", b"old"))
    seen, stop = following(log)
    wait_for(seen, 1)
    write(f"{log}.tmp", raw(2, "stdout", "F", b"new"))
    os.rename(f"{log}.tmp", log)
    wait_for(seen, 2)
    write(log, raw(3, "stdout", "F", b"newer"))
    wait_for(seen, 3)
    assert [entry[0] for entry in stop()] == [b"old", b"new", b"newer"]


def test_following_survives_truncation(log):
    write(log, raw(1, "stdout", "F", b"a long line before"))
    seen, stop = following(log)
    wait_for(seen, 1)
    os.truncate(log, 0)
    time.sleep(0.1)
    write(log, raw(2, "stdout", "F", b"b"))
    wait_for(seen, 2)
    assert [entry[0] for entry in stop()] == [b"a long line before", b"b"]


def test_following_waits_for_the_rest_of_a_half_written_line(log):
    whole = raw(1, "stdout", "F", b"whole")
    write(log, whole[:20])
    seen, stop = following(log)
    time.sleep(0.1)
    assert seen == []
    write(log, whole[20:])
    wait_for(seen, 1)
    assert stop() == [(b"whole", True, False)]


def test_following_shows_a_prompt_and_then_what_is_typed_after_it(log):
    write(log, raw(1, "stdout", "P", b"name? "))
    seen, stop = following(log)
    wait_for(seen, 1)
    write(log, raw(2, "stdout", "F", b"Ann"))
    wait_for(seen, 2)
    assert stop() == [(b"name? ", False, False), (b"Ann", True, True)]


def test_following_ends_when_the_log_is_removed(log):
    write(log, raw(1, "stdout", "F", b"a"))
    stop_read, stop_write = os.pipe()
    lines = read_log(log, follow=True, stop_fd=stop_read)
    assert next(lines).text == b"a"
    os.unlink(log)
    assert list(lines) == []
    os.close(stop_read)
    os.close(stop_write)


def test_following_a_monitor_that_has_ended_only_reads(log):
    write(log, raw(1, "stdout", "F", b"a"))
    assert texts(log, follow=True, conmon=(os.getpid(), 1)) == [b"a"]


def test_following_ends_at_the_time_given(log):
    write(log, raw(1, "stdout", "F", b"a"))
    begun = time.monotonic()
    assert texts(log, follow=True, until_ns=time.time_ns() + 200_000_000) == [b"a"]
    assert 0.1 < time.monotonic() - begun < 5


def test_leaving_a_follower_closes_everything(log):
    write(log, raw(1, "stdout", "F", b"a"))
    before = len(os.listdir("/proc/self/fd"))
    lines = read_log(log, follow=True)
    next(lines)
    lines.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_line_that_never_ends_is_not_kept_in_memory():
    joiner = Joiner()
    part = b"x" * 8192
    lines = [line for line in (joiner.feed(raw(1, "stdout", "P", part)[:-1]) for _ in range(300)) if line is not None]
    assert sum(len(line.text) for line in lines) + sum(len(line.text) for line in joiner.flush()) == 300 * 8192
    assert max(len(line.text) for line in lines) <= logline.LONGEST_HELD_BYTES + 8192
    assert [line.continued for line in lines] == [False, True]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1970-01-01T00:00:00.000000000+00:00", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-23T14:37:57.319513131+00:00", 1795444677319513131),
        ("2026-11-23T16:37:57.319513131+02:00", 1795444677319513131),
        ("2026-11-23T09:07:57.3-05:30", 1795444677300000000),
        ("2024-02-29T00:00:00Z", 1709164800000000000),
    ],
)
def test_times_are_read_with_their_offset(text, wanted):
    assert parse_timestamp(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-13-01T00:00:00Z",
        "2026-11-23 14:37",
        "2026-11-23T14:37:57",
        "2026-11-23T14:37:57+0200",
        "2026-11-23T14:37:57.1x",
    ],
)
def test_other_texts_are_no_times(text):
    with pytest.raises(ValueError, match=r".*"):
        parse_timestamp(text)
