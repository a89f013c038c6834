"""The served overlay, mounted for real in a user namespace."""

from __future__ import annotations

import json

import pytest

from tests.fuse import namespace

pytest.importorskip("pyfuse3", reason="the extra 'fuse' is not installed")

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]


@pytest.fixture
def scene():
    """Run a scene of ``served`` in a fresh directory and namespace."""
    reason = namespace.reason_not("subid")
    if reason:
        pytest.skip(f"no namespace with sub-ids: {reason}")
    made = []

    def run(name, ids="subid"):
        made.append(namespace.scratch())
        ended = namespace.run_inside(ids, ["-m", "tests.fuse.filesystems.served", name, made[-1]])
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])

    yield run
    for path in made:
        namespace.remove_inside(path)


def test_forty_layers_are_merged(scene):
    names, shared, changed, below = scene("forty_layers")
    assert names == ["only-0", "only-39", "shared"]
    assert (shared, changed, below) == ("39", "changed", "0")


def test_descriptors_opened_before_a_copy_up_see_what_is_written_after_it(scene):
    assert scene("open_descriptors_see_the_copy") == ["UPPER", "UPPER", True]


def test_a_killed_server_can_be_unmounted_and_the_container_mounted_again(scene):
    error, names, size, changed, work = scene("killed_server")
    assert error == "Transport endpoint is not connected"
    assert names == ["dir", "new", "setuid"]
    assert (size, changed, work) == (100_000, "changed", [])


def test_the_server_is_small_named_silent_and_ends_with_the_tree(scene):
    alive, afterwards, resident_kib, log = scene("server_ends_and_is_named")
    assert alive
    assert afterwards is None
    assert resident_kib < 48 * 1024
    assert log == ""


def test_set_id_bits_go_when_another_user_writes(scene):
    assert scene("set_ids_are_cleared_by_a_write_of_another") == [0o6777, 0o777]


def test_sqlite_keeps_its_shared_memory_consistent(scene):
    assert scene("sqlite_with_a_write_ahead_log") == ["wal", [0, 0, 0, 0], 160, "ok"]


def test_four_processes_work_at_once(scene):
    assert scene("four_processes_at_once") == [[0] * 4, [150] * 4, 240]


def test_one_container_can_be_mounted_by_each_driver_in_turn(scene):
    wrong, names = scene("one_container_mounted_by_each_driver_in_turn")
    assert wrong == []
    assert names == ["made", "moved", "other", "other/sub"]


def test_the_same_changes_leave_the_same_upper_directory_as_native_overlay(scene):
    assert scene("same_changes_by_native_overlay_and_by_us") == [[], []]
