"""Who uses a volume that is mounted for its users."""

from __future__ import annotations

import os

from rootless_pod.linux.procfs import start_time
from rootless_pod.paths import Paths
from rootless_pod.volumes.mounted import count_users


def test_a_command_that_was_killed_is_no_user_even_if_another_process_has_its_number(tmp_path):
    paths = Paths(graphroot=str(tmp_path / "graph"), runroot=str(tmp_path / "run"), boot_id="b")
    own, started = os.getpid(), start_time(os.getpid())
    for user in (f"pid-{own}-{started}", f"pid-{own}-{started - 1}", f"pid-{own}", "pid-", "f" * 64):
        os.makedirs(f"{paths.volume_users}/{user}")
        with open(f"{paths.volume_users}/{user}/v", "w") as file:
            file.write("1")
    assert count_users(paths, "v") == 2
    assert sorted(os.listdir(paths.volume_users)) == ["f" * 64, f"pid-{own}-{started}"]
