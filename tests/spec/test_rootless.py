"""Id ranges. Origin of the ranges: podman 4.3.1 with uid 1001 and 100000:65536."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless_pod.errors import HostUnready, Refused, Usage
from rootless_pod.spec.rootless import (
    NO_MAPPING,
    id_shift,
    imply_mapping,
    keep_ranges,
    parse_ranges,
    plan_mapping,
    require_mapped,
    size_of,
    split_at,
    to_parent,
)  # fmt: skip
from rootless_pod.userns.idmap import IdMap, map_of

SUBIDS = IdMap(uids=map_of(1001, ((100000, 65536),)), gids=map_of(1002, ((100000, 65536),)))
SINGLE = IdMap(uids=map_of(1001, ()), gids=map_of(1001, ()))


def rows(ranges):
    return [(entry.container_id, entry.host_id, entry.size) for entry in ranges]


def test_the_default_is_no_namespace():
    assert plan_mapping("", SUBIDS) is NO_MAPPING
    assert plan_mapping("host", SUBIDS) is NO_MAPPING
    assert id_shift(NO_MAPPING, SUBIDS) is None


def test_keep_id_is_podmans():
    mapping = plan_mapping("keep-id", SUBIDS)
    assert rows(mapping.uids) == [(0, 1, 1001), (1001, 0, 1), (1002, 1002, 64535)]
    assert rows(mapping.gids) == [(0, 1, 1002), (1002, 0, 1), (1003, 1003, 64534)]
    assert mapping.default_user == "1001:1002"
    assert mapping.keeps_user


def test_keep_id_takes_other_ids_and_a_size():
    mapping = plan_mapping("keep-id:uid=5,gid=0,size=10", SUBIDS)
    assert rows(mapping.uids) == [(0, 1, 5), (5, 0, 1), (6, 6, 4)]
    assert rows(mapping.gids) == [(0, 0, 1), (1, 1, 9)]


def test_keep_id_above_the_subordinate_ids_leaves_a_gap():
    assert rows(plan_mapping("keep-id:uid=200000,gid=200000", SUBIDS).uids) == [(0, 1, 65536), (200000, 0, 1)]


def test_keep_id_with_one_id_maps_that_one():
    mapping = plan_mapping("keep-id", SINGLE)
    assert rows(mapping.uids) == [(1001, 0, 1)]
    assert id_shift(mapping, SINGLE) is None


def test_nomap_leaves_the_user_out_and_needs_others():
    assert rows(plan_mapping("nomap", SUBIDS).uids) == [(0, 1, 65536)]
    with pytest.raises(HostUnready, match="subordinate ids") as caught:
        plan_mapping("nomap", SINGLE)
    assert "usermod" in caught.value.remedy


def test_private_is_cut_where_the_parents_ranges_end():
    assert rows(plan_mapping("private", SUBIDS).uids) == [(0, 0, 1), (1, 1, 65536)]
    assert id_shift(plan_mapping("private", SUBIDS), SUBIDS) is None


def test_several_subordinate_ranges_cut_keep_id():
    parent = map_of(1001, ((100000, 500), (300000, 1000)))
    assert rows(split_at(keep_ranges(parent, 1000), parent)) == [
        (0, 1, 500),
        (500, 501, 500),
        (1000, 0, 1),
        (1001, 1001, 500),
    ]


@settings(database=None)
@given(st.lists(st.integers(1, 5000), max_size=5), st.integers(0, 20000), st.none() | st.integers(1, 20000))
def test_keep_id_is_one_to_one_and_gives_the_user_its_id(sizes, kept, limit):
    parent = map_of(1001, tuple((100000 * (index + 1), size) for index, size in enumerate(sizes)))
    ranges = split_at(keep_ranges(parent, kept, limit=limit), parent)
    pairs = [(start + n, host + n) for start, host, size in rows(ranges) for n in (0, size - 1)]
    assert to_parent(ranges, kept) == 0
    assert len({container for container, _host in pairs}) == len({host for _container, host in pairs})
    assert size_of(ranges) <= size_of(parent)
    if limit is None:
        assert size_of(ranges) == size_of(parent)
    for _start, host, size in rows(ranges):
        assert any(outer.container_id <= host and host + size <= outer.container_id + outer.size for outer in parent)


def test_the_shift_shows_root_of_the_image_as_root_of_the_container():
    shift = id_shift(plan_mapping("keep-id", SUBIDS), SUBIDS)
    assert (shift.shown_uid(0), shift.shown_uid(1001), shift.stored_uid(0)) == (1, 0, 1001)


def test_explicit_ranges_count_in_the_users_namespace():
    mapping = plan_mapping("", SUBIDS, uidmap=("0:1:10", "10:0:1"))
    assert rows(mapping.uids) == rows(mapping.gids) == [(0, 1, 10), (10, 0, 1)]


@pytest.mark.parametrize("text", ["0:0", "0:1:70000", "a:b:c", "0:0:0", "1:2:3:4", "-1:0:1"])
def test_ranges_outside_of_what_there_is_are_refused(text):
    if text == "0:0":
        assert rows(parse_ranges((text,), "--uidmap", 10)) == [(0, 0, 1)]
        return
    with pytest.raises(Usage, match="--uidmap"):
        parse_ranges((text,), "--uidmap", 65537)


def test_ranges_may_not_overlap():
    with pytest.raises(Usage, match="overlaps"):
        parse_ranges(("0:0:10", "5:20:1"), "--uidmap", 100)


@pytest.mark.parametrize("mode", ["keep-id:foo=1", "keep-id:uid=x", "nomap:1", "host:1", "ns:rel", "container:x"])
def test_unknown_modes_are_refused(mode):
    with pytest.raises(Usage):
        plan_mapping(mode, SUBIDS)


def test_joined_namespaces_are_joined_by_path():
    mapping = plan_mapping("container:x", SUBIDS, join_path="/proc/7/ns/user")
    assert (mapping.own, mapping.path, mapping.uids) == (True, "/proc/7/ns/user", ())


def test_an_implied_map_has_the_users_own_ids():
    mapping = imply_mapping(1000, 50, SINGLE)
    assert (rows(mapping.uids), rows(mapping.gids)) == ([(1000, 0, 1)], [(50, 0, 1)])
    require_mapped(1000, 50, mapping, SINGLE)
    with pytest.raises(Refused, match="group id 51"):
        require_mapped(1000, 51, mapping, SINGLE)


def test_more_ids_are_asked_for_by_a_command_that_lends_them_to_this_user():
    with pytest.raises(Refused, match="user id 99999") as caught:
        require_mapped(99999, 0, NO_MAPPING, SUBIDS)
    words = caught.value.remedy.partition("usermod ")[2].partition(";")[0].split()
    assert words[0] == "--add-subuids"
    assert words[-1] != "USER"
    assert caught.value.remedy.endswith("run: rpod system migrate")
