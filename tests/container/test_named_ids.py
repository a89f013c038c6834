"""Which ids of the user's namespace a name in /etc/subuid stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from rootless_pod.container.named_ids import with_named_ids
from rootless_pod.errors import Refused, Usage
from rootless_pod.spec.request import SpecRequest
from rootless_pod.userns.idmap import IdMap, map_of

OWN = IdMap(uids=map_of(1001, ((100000, 65536), (300000, 10))), gids=map_of(1001, ((100000, 65536),)))


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    uids, gids = tmp_path / "subuid", tmp_path / "subgid"
    uids.write_text("me:100000:65536\ninner:100100:50\ninner:300000:10\nother:200000:65536\nhalf:165000:1000\n")
    gids.write_text("me:100000:65536\ninner:100200:5\n")
    return str(uids), str(gids)


def maps(uid_name: str, gid_name: str, files: tuple[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = with_named_ids(SpecRequest(), uid_name, gid_name, OWN, files=files)
    return found.uidmap, found.gidmap


def test_the_containers_ids_are_those_of_the_name_one_range_after_the_other(files: tuple[str, str]) -> None:
    assert maps("inner", "inner", files) == (("0:101:50", "50:65537:10"), ("0:201:5",))


def test_one_name_stands_for_both(files: tuple[str, str]) -> None:
    both = (("0:1:65536",), ("0:1:65536",))
    assert maps("me", "", files) == both
    assert maps("", "me", files) == both


def test_a_name_without_ids_is_said_as_podman_does(files: tuple[str, str]) -> None:
    with pytest.raises(Usage, match=r'no subuid ranges found for user "nosuch-name" in '):
        maps("nosuch-name", "", files)


@pytest.mark.parametrize("name", ["other", "half"])
def test_ids_of_others_are_refused_with_the_range(files: tuple[str, str], name: str) -> None:
    with pytest.raises(Refused, match=f"of {name} is not in your user namespace"):
        maps(name, "me", files)


@pytest.mark.parametrize("given", [{"userns": "keep-id"}, {"uidmap": ("0:1:5",)}, {"gidmap": ("0:1:5",)}])
def test_maps_given_otherwise_contradict_it(files: tuple[str, str], given: dict[str, object]) -> None:
    with pytest.raises(Usage, match="are mutually exclusive"):
        with_named_ids(SpecRequest(**given), "me", "", OWN, files=files)
