"""Run Python as an unprivileged user who is root of a user namespace, whoever runs the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ID_MODES = {"subid": ("--map-auto", "--map-root-user"), "single": ("--map-root-user",)}


def unprivileged():
    """Return (uid, gid, home) of the user to be, or None if there is none."""
    if os.getuid() != 0:
        return os.getuid(), os.getgid(), os.path.expanduser("~")
    try:
        found = pwd.getpwnam("rpod-test")
    except KeyError:
        return None
    return found.pw_uid, found.pw_gid, found.pw_dir


def _as_user():
    found = unprivileged()
    if os.getuid() != 0 or found is None:
        return []
    return ["setpriv", "--reuid", str(found[0]), "--regid", str(found[1]), "--init-groups"]


def reason_not(ids):
    """Return why no namespace of this mode can be made here, or None."""
    if unprivileged() is None:
        return "no user rpod-test (scripts/setup-host makes it)"
    if shutil.which("unshare") is None:
        return "the program unshare is not installed"
    made = subprocess.run(
        [*_as_user(), "unshare", "--user", "--mount", *ID_MODES[ids], "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return made.stderr.strip() if made.returncode else None


def scratch():
    """Make a directory that the unprivileged user owns and others can walk through."""
    path = tempfile.mkdtemp(prefix="rpod-fuse-", dir=os.environ.get("RPOD_TEST_SCRATCH"))
    uid, gid, _home = unprivileged()
    os.chown(path, uid, gid)
    os.chmod(path, 0o755)
    return path


def run_inside(ids, argv, *, timeout=170, env=None):
    """Run ``python argv…`` inside; return the completed process."""
    found = unprivileged()
    return subprocess.run(
        [*_as_user(), "unshare", "--user", "--mount", *ID_MODES[ids], sys.executable, *argv],
        capture_output=True, text=True, timeout=timeout, check=False, cwd="/",
        env={
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": found[2],
            "PYTHONPATH": REPOSITORY, "PYTHONDONTWRITEBYTECODE": "1", **(env or {}),
        },
    )  # fmt: skip


def remove_inside(path):
    """Remove a directory with whatever ids lie in it."""
    mode = "subid" if reason_not("subid") is None else "single"
    run_inside(mode, ["-c", f"from rootless_pod.linux.tree import empty_tree\nempty_tree({path!r})"])
    shutil.rmtree(path, ignore_errors=True)
