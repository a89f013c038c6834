"""The order in which containers can be removed, from what stands in their directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from rootless_pod.container.dependents import add, dependents_first, dependents_of, drop, refuse_if_needed
from rootless_pod.errors import Conflict, NotFound
from rootless_pod.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Four containers: web needs db, front needs both; other needs nobody."""
    places = Paths(graphroot=str(tmp_path / "root"), runroot=str(tmp_path / "run"), boot_id="0")
    for name in ("db", "web", "front", "other"):
        Path(places.container(name)).mkdir(parents=True)
    add(places, "web", ["db"])
    add(places, "front", ["db", "web"])
    return places


def test_what_needs_another_stands_before_it(paths: Paths) -> None:
    groups = dependents_first(paths, ["db", "other", "web", "front"])
    assert [sorted(group) for group in groups] == [["front", "other"], ["web"], ["db"]]


def test_only_what_was_named_is_ordered_unless_all_are_asked_for(paths: Paths) -> None:
    assert dependents_first(paths, ["db"]) == [["db"]]
    assert dependents_first(paths, ["db"], add_missing=True) == [["front"], ["web"], ["db"]]
    assert dependents_first(paths, ["db", "web"]) == [["web"], ["db"]]
    assert dependents_first(paths, []) == []


def test_one_that_is_needed_is_refused_until_the_others_are_gone(paths: Paths) -> None:
    with pytest.raises(Conflict, match=r"db has dependent containers which must be removed before it: front, web"):
        refuse_if_needed(paths, "db")
    drop(paths, "web", ["db"])
    Path(paths.container("front")).rmdir()  # removed without a word: its name counts for nothing
    assert dependents_of(paths, "db") == []
    refuse_if_needed(paths, "db")


def test_a_container_that_was_removed_meanwhile_cannot_be_needed(paths: Paths) -> None:
    with pytest.raises(NotFound):
        add(paths, "late", ["gone"])
