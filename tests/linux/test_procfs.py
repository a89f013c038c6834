"""What is read in /proc, whatever others named there."""

from __future__ import annotations

import os

import pytest

from rootless_pod.linux import mount, procfs


@pytest.mark.kernel
@pytest.mark.parametrize("name", ["form\ffeed", "next\x85line", "a b\n\\c", "separated\x1cby\u2028lines"])
def test_a_mount_point_may_have_any_name(inside, tmp_path, name):
    path = str(tmp_path / name)
    os.mkdir(path)

    def work():
        mount.mount("tmpfs", path, "tmpfs")
        assert (path, "tmpfs", "tmpfs") in procfs.mount_points()

    inside(work)
