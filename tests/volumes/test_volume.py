"""Volumes on disk: complete or not there."""

from __future__ import annotations

import os
import pathlib
import threading

import pytest

from rootless_pod.errors import Conflict, Corrupt, NotFound, Refused, Usage
from rootless_pod.linux.tree import remove_tree
from rootless_pod.oci.runtime import ResolvedMount
from rootless_pod.paths import Paths
from rootless_pod.volumes import volume as store
from rootless_pod.volumes.copyup import copy_directory
from rootless_pod.volumes.ownership import chown_sources


@pytest.fixture
def paths(tmp_path):
    found = Paths(graphroot=str(tmp_path / "graph"), runroot=str(tmp_path / "run"), boot_id="b")
    os.makedirs(found.volumes)
    return found


def test_a_new_volume_is_empty_and_open_to_every_user_of_a_container(paths):
    old = os.umask(0o077)
    try:
        made = store.create(paths, "v", labels={"a": "b"})
    finally:
        os.umask(old)
    assert (made.name, made.labels, made.anonymous, made.needs_copy_up) == ("v", {"a": "b"}, False, True)
    assert os.stat(made.path).st_mode & 0o777 == 0o755
    assert store.read(paths, "v") == made


def test_a_name_is_taken_once(paths):
    store.create(paths, "v")
    with pytest.raises(Conflict, match="already exists"):
        store.create(paths, "v")
    assert os.listdir(paths.volumes) == ["v"]


def test_two_commands_may_want_the_same_volume_at_once(paths):
    found = []
    threads = [threading.Thread(target=lambda: found.append(store.create(paths, "v", exist_ok=True))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(repr, found))) == 1
    assert os.listdir(paths.volumes) == ["v"]


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "-x"])
def test_bad_names_are_refused_and_never_found(paths, name):
    with pytest.raises(Usage):
        store.create(paths, name)
    assert not store.exists(paths, name)


def test_a_volume_of_a_driver_is_known_by_its_record_and_mended_as_one(paths):
    record = {"driver": "plug", "options": {"a": "b"}, "is_mounted": True}
    store.create(paths, "v", driven=record)
    store.create(paths, "plain")
    assert store.is_driven(paths, "v")
    assert not store.is_driven(paths, "plain")
    os.unlink(f"{paths.volumes}/v/volume.json")
    assert store.mend(paths, "v")
    found = store.read(paths, "v")
    assert (found.driver, found.options) == ("plug", {"a": "b"})


def test_a_damaged_record_of_a_driver_hides_nothing_and_can_be_removed(paths):
    store.create(paths, "v", driven={"driver": "local", "options": {"type": "tmpfs"}, "is_mounted": True})
    store.create(paths, "other")
    with open(f"{paths.volumes}/v/driver.json", "w") as file:
        file.write("{")
    assert store.names(paths) == [one.name for one in store.list_volumes(paths)] == ["other", "v"]
    assert store.fault_of(paths, "v")
    with pytest.raises(Corrupt):
        store.is_driven(paths, "v")
    store.remove(paths, "v")
    assert os.listdir(paths.volumes) == ["other"]


def test_volumes_are_found_by_the_start_of_their_name(paths):
    for name in ("abc", "abd", "x"):
        store.create(paths, name)
    assert store.find(paths, "x").name == store.find(paths, "x").name
    assert store.find(paths, "abc").name == "abc"
    with pytest.raises(Conflict):
        store.find(paths, "ab")
    with pytest.raises(NotFound):
        store.find(paths, "z")
    with pytest.raises(NotFound):
        store.find(paths, "")


def test_removing_is_idempotent_and_takes_closed_directories_along(paths):
    made = store.create(paths, "v")
    os.makedirs(f"{made.path}/closed/inner")
    os.chmod(f"{made.path}/closed", 0)
    store.remove(paths, "v")
    store.remove(paths, "v")
    assert os.listdir(paths.volumes) == []


def test_pruning_leaves_what_is_used(paths):
    for name in ("a", "b"):
        store.create(paths, name)
    store.create(paths, anonymous=True)
    assert len(store.prune(paths, ["a"], anonymous_only=True)) == 1
    assert store.prune(paths, ["a"]) == ["b"]
    assert store.names(paths) == ["a"]


def test_what_a_killed_command_left_is_swept(paths):
    os.makedirs(f"{paths.volumes}/.v.999999999.abcd1234/_data")
    os.makedirs(f"{paths.volumes}/.w.{os.getpid()}.abcd1234/_data")
    assert store.sweep(paths) == 1
    assert os.listdir(paths.volumes) == [f".w.{os.getpid()}.abcd1234"]


@pytest.mark.parametrize("text", ["{", '{"created_ns": "x"}', '{"labels": [1]}', '{"labels": 5}'])
def test_a_damaged_record_does_not_hide_a_volume(paths, text):
    store.create(paths, "v")
    with open(f"{paths.volumes}/v/volume.json", "w") as file:
        file.write(text)
    assert "damaged" in store.fault_of(paths, "v")
    assert [found.name for found in store.list_volumes(paths)] == ["v"]
    store.remove(paths, "v")


def test_a_killed_copy_starts_again(paths, tmp_path):
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "d/file").write_text("x")
    made = store.create(paths, "v")
    os.makedirs(f"{paths.volumes}/v/.copying/half")
    assert store.fill(paths, made, str(root), "/d") == "copied"
    assert sorted(os.listdir(made.path)) == ["file"]
    assert store.fill(paths, made, str(root), "/d") == "kept"


def test_who_has_the_volume_already_sees_what_is_copied_into_it(paths, tmp_path):
    root = tmp_path / "root"
    (root / "d/sub").mkdir(parents=True)
    (root / "d/sub/file").write_text("x")
    (root / "d").chmod(0o1770)
    made = store.create(paths, "v")
    held = os.open(made.path, os.O_RDONLY | os.O_DIRECTORY)  # as the mount of a container with :nocopy
    try:
        assert store.fill(paths, made, str(root), "/d") == "copied"
        assert os.listdir(held) == ["sub"]
        assert os.fstat(held).st_mode & 0o7777 == 0o1770
        os.close(os.open("more", os.O_WRONLY | os.O_CREAT, dir_fd=held))
    finally:
        os.close(held)
    assert sorted(os.listdir(made.path)) == ["more", "sub"]
    assert sorted(os.listdir(f"{paths.volumes}/v")) == ["_data", "lock", "volume.json"]


def test_a_copy_whose_files_were_moved_in_part_goes_on_and_spares_what_came_meanwhile(paths, tmp_path):
    made = store.create(paths, "v")
    complete = f"{paths.volumes}/v/.copied"
    os.makedirs(f"{complete}/sub")
    for name, text in (("a", "image"), ("b", "image")):
        (pathlib.Path(complete) / name).write_text(text)
    pathlib.Path(made.path, "b").write_text("own")
    pathlib.Path(made.path, "earlier").write_text("image")
    assert store.fill(paths, made, str(tmp_path), "/d") == "copied"
    assert sorted(os.listdir(made.path)) == ["a", "b", "earlier", "sub"]
    assert pathlib.Path(made.path, "b").read_text() == "own"
    assert not os.path.exists(complete)
    assert not store.read(paths, "v").needs_copy_up


def test_the_longest_name_is_made_and_removed(paths):
    name = "n" * 253
    store.create(paths, name)
    assert store.names(paths) == [name]
    store.remove(paths, name)
    assert os.listdir(paths.volumes) == []


def test_ids_that_nobody_can_have_are_refused_and_leave_nothing(paths):
    with pytest.raises(Refused, match="cannot give the volume to 99999999999:0"):
        store.create(paths, "v", driven={"driver": "local", "uid": 99999999999, "gid": 0})
    assert os.listdir(paths.volumes) == []


def test_a_copy_keeps_what_belongs_to_the_files(tmp_path):
    root, target = tmp_path / "root", tmp_path / "target"
    (root / "d/sub").mkdir(parents=True)
    target.mkdir()
    (root / "d/file").write_bytes(b"x" * 70000)
    (root / "d/empty").touch()
    os.link(root / "d/file", root / "d/sub/hard")
    os.symlink("/etc/passwd", root / "d/link")
    os.mkfifo(root / "d/fifo")
    os.chmod(root / "d/file", 0o4751)
    os.chmod(root / "d/sub", 0o1777)
    os.utime(root / "d/sub", ns=(1_000_000_000, 2_000_000_000))
    try:
        os.setxattr(root / "d/file", "user.x", b"1")
    except OSError:
        pytest.skip("no extended attributes here")
    assert copy_directory(str(root), "/d", str(target))
    assert (target / "file").read_bytes() == b"x" * 70000
    assert os.stat(target / "file").st_mode & 0o7777 == 0o4751
    assert os.stat(target / "file").st_ino == os.stat(target / "sub/hard").st_ino
    assert os.readlink(target / "link") == "/etc/passwd"
    assert os.getxattr(target / "file", "user.x") == b"1"
    assert os.stat(target / "sub").st_mtime_ns == 2_000_000_000
    assert os.stat(target / "sub").st_mode & 0o7777 == 0o1777
    assert sorted(os.listdir(target)) == ["empty", "fifo", "file", "link", "sub"]


def test_directories_too_deep_for_a_copy_are_an_error_with_a_remedy(paths, tmp_path):
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    here = os.open(root / "d", os.O_RDONLY)
    for _level in range(600):
        os.mkdir("x", dir_fd=here)
        below = os.open("x", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    made = store.create(paths, "v")
    try:
        with pytest.raises(Refused, match="cannot fill the volume v") as caught:
            store.fill(paths, made, str(root), "/d")
        assert "nocopy" in (caught.value.remedy or "")
    finally:
        remove_tree(str(root))
        store.remove(paths, "v")


def test_a_copy_never_leaves_the_root(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").touch()
    root = tmp_path / "root"
    root.mkdir()
    os.symlink(tmp_path / "outside", root / "d")
    (tmp_path / "target").mkdir()
    assert not copy_directory(str(root), "/d", str(tmp_path / "target"))


def test_directories_of_the_system_are_never_given_away(tmp_path):
    for path in ("/", "/etc", "/usr", str(tmp_path)):
        with pytest.raises(Refused, match="not allowed"):
            chown_sources([ResolvedMount(source=path, target="/x", chown=True)], (1, 1), home=f"{tmp_path}/")


def test_ownership_reaches_every_file_but_not_behind_links(tmp_path):
    if os.getuid():
        pytest.skip("needs to give files away")
    inner = tmp_path / "data/inner"
    inner.mkdir(parents=True)
    (tmp_path / "outside").touch()
    os.symlink(tmp_path / "outside", inner / "link")
    mounts = [
        ResolvedMount(source=str(tmp_path / "data"), target="/x", chown=True),
        ResolvedMount(source=str(tmp_path / "outside"), target="/y"),
    ]
    chown_sources(mounts, (7, 8))
    owned = [os.lstat(path) for path in (tmp_path / "data", inner, inner / "link")]
    assert {(status.st_uid, status.st_gid) for status in owned} == {(7, 8)}
    assert os.stat(tmp_path / "outside").st_uid == 0
