"""Names belong to one object at a time. The rule for names is podman's: [a-zA-Z0-9][a-zA-Z0-9_.-]*."""

from __future__ import annotations

import multiprocessing
import os

import pytest

from rootless_pod.errors import Conflict, Usage
from rootless_pod.state.names import check_name, owner, release, reserve


@pytest.fixture
def names(tmp_path):
    (tmp_path / "names").mkdir()
    (tmp_path / "objects").mkdir()
    return str(tmp_path / "names"), str(tmp_path / "objects")


@pytest.mark.parametrize("name", ["a", "0", "web-1_x.y", "A" * 253])
def test_names_podman_takes_are_taken(name):
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "a/b", "a b", "ü", "a\n", "A" * 254])
def test_other_names_are_refused(name):
    with pytest.raises(Usage):
        check_name(name)


def test_of_a_long_name_the_length_is_told_not_the_letters():
    with pytest.raises(Usage, match="254 characters") as caught:
        check_name("A" * 254)
    assert "253" in caught.value.remedy


def test_a_name_is_held_until_it_is_given_back(names):
    directory, objects = names
    os.mkdir(f"{objects}/one")
    reserve(directory, "web", "one", objects=objects)
    reserve(directory, "web", "one", objects=objects)
    with pytest.raises(Conflict, match="in use by one"):
        reserve(directory, "web", "two", objects=objects)
    release(directory, "web", "two")
    assert owner(directory, "web") == "one"
    release(directory, "web", "one")
    release(directory, "web", "one")
    assert owner(directory, "web") is None
    assert os.listdir(directory) == []


def test_the_name_of_an_object_that_is_gone_is_taken_over(names):
    directory, objects = names
    reserve(directory, "web", "gone", objects=objects)
    reserve(directory, "web", "two", objects=objects)
    assert owner(directory, "web") == "two"
    assert os.listdir(directory) == ["web"]


def _compete(directory, objects, mine, start, wins):
    os.mkdir(f"{objects}/{mine}")
    start.wait()
    try:
        reserve(directory, "web", mine, objects=objects)
    except Conflict:
        return
    wins.put(mine)


def test_of_many_who_want_a_name_at_once_one_gets_it(names):
    directory, objects = names
    context = multiprocessing.get_context("fork")
    start, wins = context.Event(), context.Queue()
    racers = [context.Process(target=_compete, args=(directory, objects, f"id{n}", start, wins)) for n in range(8)]
    for racer in racers:
        racer.start()
    start.set()
    for racer in racers:
        racer.join(20)
    assert [racer.exitcode for racer in racers] == [0] * 8
    winner = wins.get(timeout=5)
    assert wins.empty()
    assert owner(directory, "web") == winner


def _take_all(directory, objects, mine, count, start, wins):
    os.mkdir(f"{objects}/{mine}")
    start.wait()
    won = 0
    for number in range(count):
        try:
            reserve(directory, str(number), mine, objects=objects)
        except Conflict:
            continue
        won += owner(directory, str(number)) == mine
    wins.put(won)


def test_a_name_that_many_take_over_at_once_is_nobody_elses_afterwards(names):
    directory, objects = names
    count = 30_000
    for number in range(count):
        os.symlink("gone", f"{directory}/{number}")
    context = multiprocessing.get_context("fork")
    start, wins = context.Event(), context.Queue()
    racers = [
        context.Process(target=_take_all, args=(directory, objects, f"id{n}", count, start, wins)) for n in range(4)
    ]
    for racer in racers:
        racer.start()
    start.set()
    assert sum(wins.get(timeout=60) for _racer in racers) == count
    for racer in racers:
        racer.join(20)
