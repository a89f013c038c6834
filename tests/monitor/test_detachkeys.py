from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless_pod.errors import Usage
from rootless_pod.monitor.detachkeys import DEFAULT_KEYS, DetachKeys, parse_detach_keys


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (DEFAULT_KEYS, b"\x10\x11"),
        ("", b""),
        ("a", b"a"),
        ("ctrl-@,ctrl-a,ctrl-Z", b"\x00\x01\x1a"),
        ("ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x1b\x1c\x1d\x1e\x1f"),
        ("q,-,~", b"q-~"),
    ],
)
def test_keys_are_written_as_in_podman(text, wanted):
    assert parse_detach_keys(text) == wanted


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ctrl-ab", "ab", "ctrl-p,", ",", "é", "ctrl-é"])
def test_unknown_keys_are_usage_errors(text):
    with pytest.raises(Usage):
        parse_detach_keys(text)


def test_a_beginning_is_held_back_until_it_is_broken_or_complete():
    keys = DetachKeys(b"\x10\x11")
    assert keys.feed(b"ls\x10") == b"ls"
    assert keys.feed(b"x") == b"\x10x"
    assert keys.feed(b"\x10") == b""
    assert keys.feed(b"\x10") == b"\x10"
    assert not keys.detached
    assert keys.feed(b"\x11rest") == b""
    assert keys.detached


def test_what_is_held_back_at_the_end_of_input_is_sent():
    keys = DetachKeys(b"\x10\x11")
    assert keys.feed(b"a\x10") == b"a"
    assert keys.finish() == b"\x10"
    assert keys.finish() == b""


def test_no_keys_hold_nothing_back():
    keys = DetachKeys(b"")
    assert keys.feed(b"\x10\x11") == b"\x10\x11"
    assert not keys.detached


@given(
    keys=st.binary(min_size=1, max_size=4), typed=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=8)
)
def test_however_the_input_is_cut_nothing_is_lost_before_the_sequence(keys, typed, cuts):
    found = typed.find(keys)
    wanted = typed if found < 0 else typed[:found]
    finder = DetachKeys(keys)
    sent = b""
    edges = sorted({0, len(typed), *(cut for cut in cuts if cut <= len(typed))})
    for start, end in zip(edges, edges[1:], strict=False):
        sent += finder.feed(typed[start:end])
        if finder.detached:
            break
    sent += finder.finish()
    assert sent == wanted
    assert finder.detached == (found >= 0)


@given(typed=st.lists(st.sampled_from([b"a", b"b", b"ab", b"aab"]), max_size=20))
def test_overlapping_beginnings_are_kept_apart(typed):
    keys = DetachKeys(b"aab")
    sent = b""
    for part in typed:
        sent += keys.feed(part)
        if keys.detached:
            break
    sent += keys.finish()
    joined = b"".join(typed)
    at = joined.find(b"aab")
    assert sent == (joined if at < 0 else joined[:at])
