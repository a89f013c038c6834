"""Moments and spans of ``--since`` and ``--until``."""

from __future__ import annotations

import pytest

from rootless_pod.commands.moment import moment_ns
from rootless_pod.errors import Usage

NOW = 1_700_000_000_123_456_789


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("", None),
        ("1700000000", 1_700_000_000_000_000_000),
        ("1700000000.000000001", 1_700_000_000_000_000_001),
        ("2023-11-14T22:13:20.123456789Z", NOW),
        ("2023-11-14T23:13:20.123456789+01:00", NOW),
        ("2023-11-14T22:13:20.1Z", 1_700_000_000_100_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000_000_000_000),
        ("1969-12-31T23:59:59Z", -1_000_000_000),
        ("10m", NOW - 600_000_000_000),
        ("1h30m", NOW - 5_400_000_000_000),
        ("1.5s", NOW - 1_500_000_000),
        ("-10m", NOW + 600_000_000_000),
    ],
)
def test_a_moment_keeps_its_nanoseconds_and_a_span_counts_back(word: str, wanted: int | None) -> None:
    assert moment_ns(word, "--since", ahead=False, now_ns=NOW) == wanted


def test_a_span_may_count_on() -> None:
    assert moment_ns("10m", "--until", ahead=True, now_ns=NOW) == NOW + 600_000_000_000
    assert moment_ns("-10m", "--until", ahead=True, now_ns=NOW) == NOW - 600_000_000_000


@pytest.mark.parametrize("word", ["bogus", "10 m", "2023-13-14T22:13:20Z", "1.2.3", ".", "-", "m", "²"])
def test_what_is_neither_is_refused(word: str) -> None:
    with pytest.raises(Usage, match="--since"):
        moment_ns(word, "--since", ahead=False)
