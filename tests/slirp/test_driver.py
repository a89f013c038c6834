"""Ending helpers: those that are ours."""

from __future__ import annotations

import os

import pytest

from rootless_pod.linux import procfs
from rootless_pod.slirp.driver import kill_helper


def test_a_process_of_another_user_is_no_helper_of_ours():
    if os.getuid() == 0 or os.stat("/proc/1").st_uid == os.getuid():
        pytest.skip("to be run by a user who may not end the first process")
    assert not kill_helper(1, procfs.start_time(1), 0)
