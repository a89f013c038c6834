"""Paths inside a tree that may be hostile."""

from __future__ import annotations

import errno
import os

import pytest

from rootless_pod.linux.inroot import make_directories_in_root, open_in_root, read_in_root


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/file").write_text("inside")
    (tmp_path / "file").write_text("outside")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/file").write_text("outside")
    for name, target in {
        "absolute": "/etc/file", "up": "../../../etc/file", "dir": "/etc", "loop": "loop", "chain": "dir/../absolute",
        "dots": "./././etc/./file", "gone": "/nowhere/x",
    }.items():  # fmt: skip
        os.symlink(target, root / name)
    return str(root)


@pytest.mark.parametrize(
    "path", ["etc/file", "/etc/file", "absolute", "up", "dir/file", "../../etc/file", "chain", "dots"]
)
def test_every_way_stays_inside(root, path):
    assert read_in_root(root, path) == "inside"


@pytest.mark.parametrize("path", ["gone", "none", "etc/file/x", "/", "etc"])
def test_what_is_no_file_is_nothing(root, path):
    assert read_in_root(root, path) is None


def test_loops_end(root):
    with pytest.raises(OSError) as caught:
        read_in_root(root, "loop")
    assert caught.value.errno == errno.ELOOP


def test_long_files_are_refused(root):
    with pytest.raises(OSError) as caught:
        read_in_root(root, "etc/file", limit=3)
    assert caught.value.errno == errno.EFBIG


def test_directories_are_made_inside(root, tmp_path):
    assert make_directories_in_root(root, "/dir/../a/b") == ("/dir/../a", "/dir/../a/b")
    assert os.path.isdir(f"{root}/a/b")
    assert make_directories_in_root(root, "/a/b") == ()
    with pytest.raises(NotADirectoryError):
        make_directories_in_root(root, "/etc/file/x")
    os.symlink("/../../outside", f"{root}/trap")
    make_directories_in_root(root, "/trap/x")
    assert os.path.isdir(f"{root}/outside/x")
    assert not (tmp_path / "outside").exists()


def test_a_file_is_made_where_a_link_points_inside(root, tmp_path):
    os.symlink("/etc/new", f"{root}/link")
    os.close(open_in_root(root, "link", os.O_WRONLY | os.O_CREAT))
    assert os.path.exists(f"{root}/etc/new")


def test_no_descriptor_is_left_open(root):
    before = len(os.listdir("/proc/self/fd"))
    for path in ("up", "loop", "gone", "dir/file", "etc/file/x"):
        try:
            read_in_root(root, path)
        except OSError:
            pass
    assert len(os.listdir("/proc/self/fd")) == before
