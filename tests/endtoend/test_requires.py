"""Containers that need others: started before, never removed before. As podman 4.3.1, where the tests say nothing else."""

from __future__ import annotations

import json

import pytest
from conftest import Rpod
from test_restart import NO_NETWORK, until

pytestmark = pytest.mark.endtoend
SLEEP = ("img", "sleep", "1000")


def create(img: Rpod, name: str, *words: str) -> str:
    return img("create", "--name", name, "--stop-timeout", "0", *NO_NETWORK, *words, *SLEEP).strip()


def running(img: Rpod) -> set[str]:
    return set(img("ps", "--format", "{{.Names}}").split())


def test_what_is_required_is_started_first(img: Rpod) -> None:
    db = create(img, "db")
    web = create(img, "web", "--requires", "db")
    create(img, "front", "--requires", "db,web")
    assert set(json.loads(img("inspect", "front"))[0]["Dependencies"]) == {db, web}
    img("start", "front")
    assert running(img) == {"db", "web", "front"}
    begun = [json.loads(img("inspect", one))[0]["State"]["StartedAt"] for one in ("db", "web", "front")]
    assert begun == sorted(begun)


def test_run_starts_what_it_needs_and_shared_namespaces_count_as_needs(img: Rpod) -> None:
    create(img, "db")
    img("run", "--rm", *NO_NETWORK, "--requires", "db", "img", "true")
    assert running(img) == {"db"}
    img("stop", "db")
    img("run", "-d", "--name", "guest", "--network", "container:db", "--stop-timeout", "0", *SLEEP)
    assert running(img) == {"db", "guest"}


def test_stopping_one_stops_no_other(img: Rpod) -> None:
    create(img, "db")
    create(img, "web", "--requires", "db")
    img("start", "web")
    img("stop", "db")
    assert running(img) == {"web"}


@pytest.mark.parametrize("force", [[], ["-f"]])
def test_what_others_need_cannot_be_removed_before_them(img: Rpod, force: list[str]) -> None:
    create(img, "db")
    web = create(img, "web", "--requires", "db")
    said = img.error("rm", *force, "db")
    assert "has dependent containers which must be removed before it" in said
    assert web in said
    img("rm", "web")
    img("rm", "db")
    assert img("ps", "-aq") == ""


def test_depend_removes_all_that_need_it_and_all_comes_in_order(img: Rpod) -> None:
    for _round, words in enumerate((["--depend", "-f", "db"], ["-fa"])):
        create(img, "db")
        create(img, "web", "--requires", "db")
        create(img, "front", "--requires", "web")
        img("start", "front")
        assert len(img("rm", *words).split()) == 3
        assert img("ps", "-aq") == ""


def test_prune_removes_both(img: Rpod) -> None:
    create(img, "db")
    create(img, "web", "--requires", "db")
    assert len(img("container", "prune", "-f").split()) == 2
    assert img("ps", "-aq") == ""


def test_a_container_with_rm_stays_while_another_needs_it(img: Rpod) -> None:
    img("run", "-d", "--rm", "--name", "db", "--stop-timeout", "0", *NO_NETWORK, *SLEEP)
    create(img, "web", "--requires", "db")
    img("stop", "db")
    until(lambda: img("ps", "-a", "--format", "{{.Names}} {{.State}}").count("exited") == 1)
    img("start", "web")
    assert running(img) == {"db", "web"}


def test_a_requirement_that_is_not_there_is_refused(img: Rpod) -> None:
    said = img.error("create", *NO_NETWORK, "--requires", "nosuch", *SLEEP)
    assert "not a valid container, cannot be used as a dependency" in said
    assert img("ps", "-aq") == ""
