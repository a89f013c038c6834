"""Unpacking as root of a user namespace, for real: owners, capabilities, what overlayfs makes of it."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.fuse import namespace

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize(
    ("case", "mode"),
    [("owners", "subid"), ("again", "subid"), ("unmapped", "subid"), ("unmapped", "single"), ("single", "single"), ("overlay", "subid"), ("overlay", "single")],
)  # fmt: skip
def test_in_a_user_namespace(case, mode):
    reason = namespace.reason_not(mode)
    if reason:
        pytest.skip(f"no {mode} namespace: {reason}")
    if case == "owners" and not (shutil.which("setfacl") and shutil.which("tar")):
        pytest.skip("setfacl is not installed")
    base = namespace.scratch()
    try:
        os.makedirs(f"{base}/case")
        os.chown(f"{base}/case", *namespace.unprivileged()[:2])
        done = namespace.run_inside(mode, ["-m", "tests.storage.inside", case, f"{base}/case", mode], timeout=120)
        assert (done.stdout.strip(), done.returncode) == ("held", 0), done.stderr
    finally:
        namespace.remove_inside(base)
