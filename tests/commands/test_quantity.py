"""Sizes, durations and numbers as Go reads them."""

from __future__ import annotations

import pytest

from rootless_pod.commands import quantity


# Source: go-units RAMInBytes and its tests.
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("32", 32),
        ("32b", 32),
        ("32k", 32768),
        ("32K", 32768),
        ("32kb", 32768),
        ("32Kib", 32768),
        ("32 mb", 32 << 20),
        ("1.5g", 3 << 29),
        ("65536k", 64 << 20),
        ("2t", 2 << 40),
        ("0", 0),
    ],
)
def test_sizes_count_in_steps_of_1024(text, wanted):
    assert quantity.parse_size(text) == wanted


@pytest.mark.parametrize("text", ["", "k", "-1", "12x", "1.2.3m", "1e3", "32 b b", "32bb", "٣k", "m32"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="not a size"):
        quantity.parse_size(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("5s", 5 * 10**9),
        ("250ms", 250 * 10**6),
        ("1h2m3s", 3723 * 10**9),
        ("1.5h", 5400 * 10**9),
        ("10us", 10**4),
        ("10µs", 10**4),
        ("7ns", 7),
        ("500", 500 * 10**6),
        ("0", 0),
    ],
)
def test_durations_are_read_as_go_does(text, wanted):
    assert quantity.parse_duration(text) == wanted


@pytest.mark.parametrize("text", ["", "s", "5x", "5sm", "1h-5m", ".", "1..5s", "h5"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="not a duration"):
        quantity.parse_duration(text)


@pytest.mark.parametrize(
    ("text", "wanted"), [("a,b", ["a", "b"]), ('"a,b"', ["a,b"]), ('"a""b",c', ['a"b', "c"]), ("", [""])]
)
def test_lists_are_split_at_commas_outside_quotes(text, wanted):
    assert quantity.split_commas(text) == wanted


def test_an_open_quote_is_refused():
    with pytest.raises(ValueError, match="not closed"):
        quantity.split_commas('"a')
