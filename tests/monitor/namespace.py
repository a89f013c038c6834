"""Run a case as an unprivileged user who is root of a user namespace, whoever runs the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys

import pytest

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEST_USER = os.environ.get("RPOD_TEST_USER", "rpod-test")
ID_MODES = {"subid": ("--map-auto", "--map-root-user"), "single": ("--map-root-user",)}


def _as_user():
    if os.getuid() != 0:
        return [], os.path.expanduser("~")
    try:
        user = pwd.getpwnam(TEST_USER)
    except KeyError:
        pytest.skip(f"no user {TEST_USER} (scripts/setup-host makes it)")
    return ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--init-groups"], user.pw_dir


def need_programs(*names):
    for name in names:
        if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin") is None:
            pytest.skip(f"the program {name} is not installed")


def run_inside(module, *arguments, ids="subid", timeout=60):
    """Run ``python -m MODULE ARGUMENTS…`` inside; fail the test with its output if it fails."""
    prefix, home = _as_user()
    argv = [*prefix, "unshare", "--user", "--mount", *ID_MODES[ids], sys.executable, "-m", module, *arguments]
    env = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home,
        "PYTHONPATH": REPOSITORY, "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    ran = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=timeout, env=env, cwd="/", errors="replace"
    )
    if ran.returncode == 77:
        pytest.skip(ran.stdout.strip())
    assert ran.returncode == 0, f"{ran.stdout[-4000:]}\n{ran.stderr[-8000:]}"
    return ran.stdout
