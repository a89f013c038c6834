"""``system reset`` deletes all that is rpod's, and never anything else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Rpod

NET = ("--network", "none")


def test_everything_goes_and_what_runs_is_ended(img_store: Rpod) -> None:
    img_store("run", "-d", "--name", "running", *NET, "img", "sleep", "1000")
    img_store("run", "--name", "ended", *NET, "-v", "data:/data", "img", "touch", "/data/x")
    (next((img_store.root / "containers").iterdir()) / "state.json").write_text("{")
    img_store("system", "reset", "-f")
    assert not img_store.root.exists()
    assert not img_store.runroot.exists()
    assert img_store.processes() == []


@pytest.fixture
def img_store(rpod: Rpod, layout: Path) -> Rpod:
    rpod("tag", rpod("pull", "-q", f"oci:{layout}:test").split()[-1], "localhost/img:latest")
    return rpod


def test_it_asks_and_takes_only_yes_for_an_answer(rpod: Rpod) -> None:
    rpod("volume", "create", "kept")
    assert "- all containers" in rpod("system", "reset", stdin=b"no\n")
    assert rpod("volume", "ls", "-q") == "kept\n"
    rpod("system", "reset", stdin=b"y\n")
    assert not rpod.root.exists()


def test_it_needs_no_runtime_and_no_monitor(rpod: Rpod) -> None:
    rpod("run", "-d", *NET, "host", "sleep", "1000")
    rpod.with_options("--runtime", "/nowhere/crun", "--conmon", "/nowhere/conmon")("system", "reset", "-f")
    assert not rpod.root.exists()
    assert rpod.processes() == []


def test_what_rpod_did_not_make_is_kept_and_named(rpod: Rpod) -> None:
    rpod("volume", "create", "v")
    (rpod.root / "letters").mkdir()
    (rpod.root / "letters/one").write_text("dear")
    outside = rpod.root.parent / f"{rpod.root.name}-outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    try:
        (rpod.root / "volumes/link").symlink_to(outside)
        (rpod.root / "secrets").symlink_to(outside)
        done = rpod.run("system", "reset", "-f")
        assert (done.returncode, b"letters is kept" in done.stderr) == (0, True)
        assert (outside / "kept").read_text() == "kept"
        assert sorted(os.listdir(rpod.root)) == ["letters"]
    finally:
        (outside / "kept").unlink()
        outside.rmdir()


def test_a_directory_with_a_name_of_rpod_s_in_it_is_not_taken_for_a_store(rpod: Rpod, tmp_path: Path) -> None:
    (tmp_path / "pictures/image").mkdir(parents=True)
    mistaken = Rpod(tmp_path / "pictures", rpod.runroot)
    mistaken("volume", "create", "v")
    assert "has no file rootless-pod-store" in mistaken.error("system", "reset", "-f")
    assert (tmp_path / "pictures/image").exists()


def test_a_directory_that_held_something_else_before_is_never_reset(rpod: Rpod, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years")
    mistaken = Rpod(home, rpod.runroot)
    mistaken("volume", "create", "v")
    assert "has no file rootless-pod-store" in mistaken.error("system", "reset", "-f")
    assert (home / "volumes/v").exists()
    assert (home / "thesis.tex").exists()


@pytest.mark.parametrize("place", ["home", "above home", "link"])
def test_homes_and_links_are_never_reset(rpod: Rpod, tmp_path: Path, place: str) -> None:
    root, env = tmp_path / "root", {}
    Rpod(root, rpod.runroot)("volume", "create", "v")
    if place == "link":
        (tmp_path / "link").symlink_to(root)
        wrong = Rpod(tmp_path / "link", rpod.runroot)
    else:
        env = {"HOME": str(root if place == "home" else root / "volumes")}
        wrong = Rpod(root, rpod.runroot, env=env)
    said = wrong.error("system", "reset", "-f")
    assert ("symbolic link" if place == "link" else "your home directory") in said
    assert (root / "volumes/v/_data").exists()


def test_renumber_says_why_it_does_nothing(rpod: Rpod) -> None:
    done = rpod.run("system", "renumber")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"no lock numbers" in done.stderr


def test_pruning_external_data_takes_what_killed_commands_left_and_nothing_listed(rpod: Rpod) -> None:
    name = rpod("create", "--name", "kept", *NET, "host", "true").strip()
    left = rpod.root / "containers" / f".removing-{'0' * 64}"
    (left / "upper").mkdir(parents=True)
    assert "Total reclaimed space: " in rpod("system", "prune", "--external")
    assert not left.exists()
    assert rpod("ps", "-aq", "--no-trunc").strip() == name
    assert "can't go with" in rpod.error("system", "prune", "--external", "--all")
