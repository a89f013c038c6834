"""Tables, times and sizes, spelled as podman does."""

from __future__ import annotations

import os
import time

import pytest

from rootless_pod.commands import humanize, times
from rootless_pod.commands.table import align, print_table


def test_columns_are_at_least_twelve_wide_with_two_blanks_between():
    assert align([["ID", "NAME", "X"], ["1", "a-name-of-20-letters", "y"]]) == (
        "ID          NAME                  X\n1           a-name-of-20-letters  y\n"
    )


def test_a_line_without_columns_ends_the_run_of_widths():
    assert align([["a", "b"], ["alone"], ["a-very-long-cell-here", "b"]]) == (
        "a           b\nalone\na-very-long-cell-here  b\n"
    )
    assert align([]) == ""


def test_a_cell_cannot_break_the_line_or_the_terminal(capsys):
    print_table(["A"], [["x\ny\x1b[31m"]])
    assert capsys.readouterr().out == "A\nx y [31m\n"
    print_table(["A"], [["x"]], heading=False)
    assert capsys.readouterr().out == "x\n"


# Source: docker/go-units duration_test.go
@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (0.45, "Less than a second"),
        (1, "1 second"),
        (45, "45 seconds"),
        (46, "46 seconds"),
        (60, "About a minute"),
        (90, "About a minute"),
        (179, "2 minutes"),
        (5 * 60, "5 minutes"),
        (45 * 60, "45 minutes"),
        (3600, "About an hour"),
        (45 * 60 + 3600 - 16 * 60, "About an hour"),
        (3 * 3600, "3 hours"),
        (3 * 3600 + 59 * 60, "4 hours"),
        (24 * 3600, "24 hours"),
        (36 * 3600, "36 hours"),
        (48 * 3600, "2 days"),
        (7 * 86400, "7 days"),
        (13 * 86400 + 5 * 3600, "13 days"),
        (2 * 7 * 86400, "2 weeks"),
        (3 * 7 * 86400, "3 weeks"),
        (59 * 86400, "8 weeks"),
        (60 * 86400, "2 months"),
        (23 * 30 * 86400, "23 months"),
        (24 * 30 * 86400, "24 months"),
        (24 * 31 * 86400, "2 years"),
        (3 * 365 * 86400, "3 years"),
    ],
)
def test_lengths_of_time_are_spelled_as_go_units_does(seconds, wanted):
    assert times.in_words(seconds) == wanted


def test_statuses_are_podmans():
    assert times.up(100, now=400) == "Up 5 minutes"
    assert times.exited(0, 0, now=7200) == "Exited (0) 2 hours ago"
    assert times.ago(0, now=180) == "3 minutes ago"


@pytest.fixture
def zone():
    before = os.environ.get("TZ")

    def choose(name):
        os.environ["TZ"] = name
        time.tzset()

    yield choose
    if before is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = before
    time.tzset()


def test_moments_are_written_and_read_in_every_zone(zone):
    ns = 1_714_557_600_120_000_000
    zone("UTC")
    assert times.rfc3339(ns) == "2024-05-01T10:00:00.12Z"
    assert times.go_time(ns) == "2024-05-01 10:00:00.12 +0000 UTC"
    zone("XYZ-5:30")
    assert times.rfc3339(ns) == "2024-05-01T15:30:00.12+05:30"
    assert times.parse_time(times.rfc3339(ns)) == pytest.approx(ns / 1e9)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T12:00:00.5Z", 951825600.5),
        ("2024-05-01T12:00:00.123456789+02:00", 1714557600.123456789),
        ("2024-05-01T04:00:00-06:00", 1714557600),
        ("2024-05-01", 1714521600),
    ],
)
def test_moments_of_images_are_read(text, wanted):
    assert times.parse_time(text) == pytest.approx(wanted)


@pytest.mark.parametrize("text", ["", "now", "2024-13-01T00:00:00Z", "2024-05-01T10Z"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(ValueError):
        times.parse_time(text)


# Source: docker/go-units size_test.go (podman puts a blank before the unit)
@pytest.mark.parametrize(
    ("size_bytes", "wanted"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1024, "1.02 kB"),
        (1_000_000, "1 MB"),
        (1_048_576, "1.05 MB"),
        (1_240_000, "1.24 MB"),
        (2 * 10**6, "2 MB"),
        (999_950, "1e+03 kB"),
        (3.42 * 10**9, "3.42 GB"),
        (5.372 * 10**12, "5.37 TB"),
    ],
)
def test_sizes_have_three_digits_and_steps_of_1000(size_bytes, wanted):
    assert humanize.size(size_bytes) == wanted


def test_binary_sizes_have_four_digits():
    assert humanize.binary_size(1024) == "1KiB"
    assert humanize.binary_size(1243434) == "1.186MiB"
