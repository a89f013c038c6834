"""Which subordinate ids a user has, and what to tell one who has none. Source of the formats: subuid(5), getsubids(1)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rootless_pod.userns.subid import lending_command, parse_getsubids, read_ranges, without_overlaps


def test_lines_of_the_user_by_name_and_by_number_count_and_damaged_ones_do_not(tmp_path):
    file = tmp_path / "subuid"
    file.write_text("me:100000:65536\nyou:1:2\n1000:300000:10\nme:x:5\nme:5\n\n# me\nme:7:0\nme:400000:1\n")
    assert read_ranges(str(file), "me", 1000) == ((100000, 65536), (300000, 10), (400000, 1))
    assert read_ranges(str(tmp_path / "absent"), "me", 1000) == ()


def test_the_answer_of_getsubids_is_read():
    assert parse_getsubids("0: me 100000 65536\n1: me 300000 10\nError: nonsense\n") == ((100000, 65536), (300000, 10))


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60))))
def test_ranges_that_are_kept_never_overlap_and_the_first_is_always_kept(ranges):
    kept = without_overlaps(tuple(ranges))
    ids = [one for start, count in kept for one in range(start, start + count)]
    assert len(ids) == len(set(ids))
    assert kept[:1] == tuple(ranges[:1])


def test_ids_are_lent_that_nobody_else_has(tmp_path):
    uids, gids = tmp_path / "subuid", tmp_path / "subgid"
    uids.write_text("you:100000:65536\n")
    gids.write_text("you:100000:65536\nshe:165536:65536\nbroken\n")
    files = (str(uids), str(gids))
    command = "usermod --add-subuids 231072-296607 --add-subgids 231072-296607 me"
    assert lending_command("me", uids=True, gids=True, files=files) == command
    assert lending_command("me", uids=False, gids=True, files=files) == "usermod --add-subgids 231072-296607 me"


def test_as_many_are_lent_as_are_asked_for(tmp_path):
    files = (str(tmp_path / "a"), str(tmp_path / "b"))
    command = lending_command("me", uids=True, gids=False, count=134_464, files=files)
    assert command == "usermod --add-subuids 100000-234463 me"


def test_where_nobody_has_any_they_start_at_100000(tmp_path):
    files = (str(tmp_path / "a"), str(tmp_path / "b"))
    assert lending_command("me", uids=True, gids=False, files=files) == "usermod --add-subuids 100000-165535 me"
