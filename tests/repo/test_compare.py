"""What scripts/compare-podman calls the same, and what a difference."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import compare_masks  # noqa: E402 - the path comes first
import compare_podman  # noqa: E402

NEVER = re.compile(r"(?!)")
PLACES = {"/tmp/a": "$T"}


def lines(text: str, **how: bool) -> list[str]:
    return compare_masks.Masks(PLACES).text(text, **how)


def answer(out: str = "", code: int = 0) -> compare_podman.Answer:
    return compare_podman.Answer(code, out, "")


def found(line: compare_podman.Line, theirs: compare_podman.Answer, ours: compare_podman.Answer) -> list[str]:
    return compare_podman.compare(line, theirs, ours, (compare_masks.Masks({}), compare_masks.Masks({})))


def line(**more: object) -> compare_podman.Line:
    return compare_podman.Line(run="podman ps", covers=("ps",), **more)  # type: ignore[arg-type]


def test_ids_are_numbered_so_that_a_wrong_one_shows() -> None:
    first, second = "a" * 64, "b" * 64
    assert lines(f"{first}\n{second}\n{first[:12]}") == ["<id 1>", "<id 2>", "<id 1>"]
    assert lines(f"{first}\n{second}\n{second[:12]}") == ["<id 1>", "<id 2>", "<id 2>"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2 seconds ago", "About a minute ago"),
        ("Up 3 seconds", "Up Less than a second ago"),
        ("2026-11-23T17:43:19.075610853Z", "2024-01-01T00:00:00+02:00"),
        ("2026-11-23 17:43:19.07 +0000 UTC", "2024-01-01 00:00:00 +0200 CEST"),
        ("4.3 MB", "12kB"),
        ("/tmp/a/file", "$T/file"),
        ("NAME    STATUS", "NAME          STATUS"),
    ],
)
def test_times_sizes_places_and_widths_of_columns_are_no_difference(one: str, other: str) -> None:
    assert lines(one) == lines(other)


@pytest.mark.parametrize(
    ("one", "other"), [("Exited (0) 2 seconds ago", "Exited (1) 2 seconds ago"), ("a b", "ab"), ("", "x")]
)
def test_other_words_are_a_difference(one: str, other: str) -> None:
    assert lines(one) != lines(other)


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        ({"A": 1}, {}, "A: missing"),
        ({"A": [{"B": 1}]}, {"A": [{"B": "1"}]}, 'A[].B: "1", podman has 1'),
        ({"A": None}, {"A": []}, "A: [], podman has null"),
        ({"A": [1, 2]}, {"A": [1]}, "A: [1], podman has [1, 2]"),
        ({"A": True}, {"A": False}, "A: false, podman has true"),
    ],
)
def test_a_key_a_type_or_a_value_that_differs_is_named(theirs: object, ours: object, said: str) -> None:
    assert any(one.startswith(said) for one in compare_masks.differences(theirs, ours, NEVER))


def test_loose_values_may_differ_but_must_be_there_with_their_type() -> None:
    loose = re.compile("A")
    assert list(compare_masks.differences({"A": 1}, {"A": 2, "More": 3}, loose)) == []
    assert list(compare_masks.differences({"A": 1}, {"A": "2"}, loose))
    assert list(compare_masks.differences({"A": 1}, {}, loose))


def test_exit_codes_count_even_where_words_do_not() -> None:
    assert found(line(compare="code"), answer("x", 1), answer("y", 1)) == []
    assert found(line(compare="code"), answer("x", 1), answer("x", 125))


def test_lines_without_an_order_may_come_in_any_but_must_all_come() -> None:
    assert found(line(compare="unordered"), answer("a\nb\n"), answer("b\na\n")) == []
    assert found(line(), answer("a\nb\n"), answer("b\na\n")) == ["the same lines in another order"]
    assert found(line(compare="unordered"), answer("a\nb\n"), answer("b\n"))


def test_a_reason_that_is_no_longer_needed_is_told() -> None:
    scene = compare_podman.Scene(name="s", lines=())
    assert compare_podman.Result(scene, line(differs="so"), ["x"]).word == "meant"
    assert not compare_podman.Result(scene, line(differs="so"), []).good
    assert not compare_podman.Result(scene, line(), ["x"]).good


def test_the_lines_are_at_least_150_and_each_says_what_it_covers() -> None:
    scenes = compare_podman.read_scenes()
    assert sum(len(scene.lines) for scene in scenes) >= 150
    assert all(one.covers and "podman" in one.run for scene in scenes for one in scene.lines)
