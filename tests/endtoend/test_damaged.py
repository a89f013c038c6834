"""State that is damaged is shown as such, hides nothing else, can be removed, and is mended where that can be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Rpod

NET = ("--network", "none")
DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "a list": lambda path: path.write_text("[]"),
    "newer": lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99})),
}


def directory(rpod: Rpod, name: str) -> Path:
    return rpod.root / "containers" / rpod("inspect", "--format", "{{.Id}}", name).strip()


@pytest.fixture
def pair(rpod: Rpod) -> Rpod:
    """Two running containers, ``bad`` (which runs the shell that holds its process) and ``good``."""
    for name in ("bad", "good"):
        rpod("run", "-d", "--name", name, *NET, "host", "sleep", "1000")
    return rpod


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("record", ["container.json", "state.json"])
def test_a_damaged_container_is_shown_beside_the_others_and_always_removed(
    pair: Rpod, record: str, damage: str
) -> None:
    place = directory(pair, "bad")
    DAMAGES[damage](place / record)
    rows = dict(line.split("|", 1) for line in pair("ps", "-a", "--format", "{{.Names}}|{{.Status}}").splitlines())
    assert rows["good"].startswith("Up")
    assert rows["bad"].startswith("Damaged: ")
    found = json.loads(pair("inspect", "bad", "good"))
    assert [one["State"]["Status"] for one in found] == ["unknown", "running"]
    assert found[0]["State"]["Error"]
    pair.error("start", "bad")
    pair("rm", "-f", "-t", "0", "bad")
    assert not place.exists()
    assert pair("ps", "-a", "--format", "{{.Names}}").split() == ["good"]
    assert [one for one in pair.mounts() if place.name in one] == []
    assert [one for one in pair.processes() if place.name in one] == []


def test_rm_of_all_takes_the_damaged_along(pair: Rpod) -> None:
    (directory(pair, "bad") / "container.json").write_text("{")
    pair("rm", "-fa", "-t", "0")
    assert pair("ps", "-aq") == ""
    assert list((pair.root / "containers").iterdir()) == []


def test_check_gives_a_container_with_a_damaged_claim_back(pair: Rpod) -> None:
    place = directory(pair, "bad")
    (place / "state.json").write_text('{"status": "runn')
    assert place.name in pair.run("system", "check", "--quick").stdout.decode()
    assert "(repaired)" in pair("system", "check", "--quick", "--repair")
    found = json.loads(pair("inspect", "bad"))[0]["State"]
    assert (found["Status"], found["Error"]) == ("exited", "its state was damaged and is made anew")
    pair("start", "bad")
    assert sorted(pair("ps", "--format", "{{.Names}}").split()) == ["bad", "good"]


def test_what_can_t_be_mended_goes_by_force_but_never_what_a_newer_rpod_made(pair: Rpod) -> None:
    newer = directory(pair, "good")
    (directory(pair, "bad") / "container.json").write_text("{")
    DAMAGES["newer"](newer / "container.json")
    assert "system check --repair --force" in pair.error("system", "check", "--quick", "--repair")
    pair("system", "check", "--quick", "--repair", "--force")
    assert pair("ps", "-a", "--format", "{{.Names}}: {{.Status}}") == "good: Damaged: made by a newer rpod\n"
    assert newer.exists()


def test_a_container_without_its_directories_starts_with_new_ones(pair: Rpod) -> None:
    pair("stop", "-t", "0", "bad")
    place = directory(pair, "bad")
    for name in ("upper", "merged"):
        pair("unshare", "rm", "-rf", str(place / name))
    pair("start", "bad")
    assert pair("exec", "bad", "echo", "here") == "here\n"


@pytest.mark.parametrize("damage", ["truncated", "gone", "newer"])
def test_a_damaged_volume_is_listed_mended_or_removed_by_force(rpod: Rpod, damage: str) -> None:
    for name in ("bad", "good"):
        rpod("volume", "create", name)
    (rpod.root / "volumes/bad/_data/kept").write_text("kept")
    DAMAGES[damage](rpod.root / "volumes/bad/volume.json")
    assert rpod("volume", "ls", "-q").split() == ["bad", "good"]
    assert json.loads(rpod.run("volume", "inspect", "bad", "good").stdout)[0]["Name"] == "good"
    if damage == "newer":
        rpod.error("system", "check", "--quick", "--repair")
    else:
        assert "volume bad" in rpod("system", "check", "--quick", "--repair")
        assert rpod("run", "--rm", *NET, "-v", "bad:/mnt", "host", "cat", "/mnt/kept") == "kept"
        DAMAGES[damage](rpod.root / "volumes/bad/volume.json")
    rpod("volume", "rm", "-f", "bad")
    assert rpod("volume", "ls", "-q").split() == ["good"]


def test_a_volume_without_its_directory_gets_a_new_one(rpod: Rpod) -> None:
    rpod("volume", "create", "v")
    (rpod.root / "volumes/v/_data").rmdir()
    rpod("system", "check", "--quick", "--repair")
    rpod("run", "--rm", *NET, "-v", "v:/mnt", "host", "touch", "/mnt/x")


@pytest.mark.parametrize("damage", ["truncated", "a list", "newer"])
def test_a_damaged_pod_is_shown_and_removed_with_its_containers(rpod: Rpod, damage: str) -> None:
    pod = rpod("pod", "create", "--name", "bad", *NET).strip()
    rpod("pod", "create", "--name", "good", *NET)
    rpod("run", "-d", "--pod", "bad", "host", "sleep", "1000")
    DAMAGES[damage](rpod.root / "pods" / pod / "pod.json")
    rows = rpod("pod", "ps", "--format", "{{.Name}} {{.Status}}").splitlines()
    assert sorted(rows) == ["bad Error", "good Created"]
    said = rpod.run("system", "check", "--quick").stdout.decode()
    assert f"{'warning' if damage == 'newer' else 'damage'}: pod {pod}" in said
    rpod("pod", "rm", "-f", "-t", "0", "bad")
    assert rpod("pod", "ps", "--format", "{{.Name}}") == "good\n"
    assert [one for one in rpod("ps", "-a", "--format", "{{.Names}}").split() if "infra" not in one] == []
