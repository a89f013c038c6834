"""A served tree ends with its process; here the descriptors of each test's trees are closed after it."""

from __future__ import annotations

import os
import subprocess

import pytest


@pytest.fixture(autouse=True)
def _directories_end_with_the_test(tmp_path):
    yield
    # Some are deeper than pytest's own sweep of old temporary directories can follow.
    subprocess.run(["rm", "-rf", tmp_path], check=True)


@pytest.fixture(autouse=True)
def _descriptors_end_with_the_test():
    before = set(os.listdir("/proc/self/fd"))
    yield
    for name in set(os.listdir("/proc/self/fd")) - before:
        try:
            os.close(int(name))
        except OSError:
            continue  # the descriptor of the listing itself
