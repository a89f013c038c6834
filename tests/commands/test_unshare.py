"""``rpod unshare`` and the hot commands, for real, as an unprivileged user."""

from __future__ import annotations

import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile

import pytest

REPO = pathlib.Path(__file__).parents[2]
SCRIPT = REPO / "bin" / "rpod"
USER = "rpod-test"
HEAVY = {
    *("typer", "rich", "click", "asyncio", "ssl", "http", "subprocess", "tempfile", "shutil", "typing", "re"),
    *("dataclasses", "pathlib", "json", "argparse", "inspect", "logging", "contextlib"),
}
SEE_MODULES = f"""
import sys
sys.path.append({str(REPO)!r})
from rootless_pod.cli import main
code = main(sys.argv[1:])
sys.stdout.flush()
sys.stderr.write("\\n" + " ".join(sorted({{name.partition(".")[0] for name in sys.modules}})))
sys.exit(code)
"""


@pytest.fixture
def user():
    """Return a function that runs argv as an unprivileged user, and that user's own roots."""
    if os.getuid() != 0:
        become, name = [], pwd.getpwuid(os.getuid()).pw_name
    else:
        name = USER
        try:
            pwd.getpwnam(USER)
        except KeyError:
            pytest.skip(f"running as root, and there is no user {USER} to become")
        become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--"]
    place = tempfile.mkdtemp(prefix="rpod-cli-", dir="/tmp")
    entry = pwd.getpwnam(name)
    os.chown(place, entry.pw_uid, entry.pw_gid)
    roots = ["--root", f"{place}/root", "--runroot", f"{place}/run"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": place, "SHELL": "/bin/sh"}

    def run(argv, **more):
        return subprocess.run(
            [*become, *argv], env=environment, capture_output=True, text=True, timeout=60, check=False, cwd="/", **more
        )

    yield run, roots
    run([str(SCRIPT), *roots, "unshare", "sh", "-c", f"rm -rf {place}/root"])
    for pause in pathlib.Path(place).glob("run/*/pause.json"):
        end_pause(pause)
    shutil.rmtree(place, ignore_errors=True)


def end_pause(record):
    import json

    held = json.loads(record.read_text())
    stat = pathlib.Path(f"/proc/{held['pid']}/stat")
    if stat.exists() and stat.read_text().rpartition(")")[2].split()[19] == str(held["started"]):
        os.kill(held["pid"], 9)


@pytest.mark.kernel
def test_the_command_runs_as_root_of_the_users_namespace(user):
    run, roots = user
    done = run(
        [str(SCRIPT), *roots, "unshare", "sh", "-c", "id -u; cat /proc/self/uid_map; echo $_CONTAINERS_ROOTLESS_UID"]
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "0"
    assert lines[1].split()[:2] == ["0", lines[-1]]


@pytest.mark.kernel
def test_without_a_command_it_is_the_users_shell_and_exits_with_its_code(user):
    run, roots = user
    done = run([str(SCRIPT), *roots, "unshare"], input="echo from-$0; exit 7\n")
    assert (done.returncode, done.stdout) == (7, "from-/bin/sh\n"), done.stderr


@pytest.mark.kernel
def test_a_command_that_is_not_there_is_127_and_one_that_cannot_run_is_126(user):
    run, roots = user
    missing = run([str(SCRIPT), *roots, "unshare", "no-such-program"])
    assert (missing.returncode, missing.stdout) == (127, "")
    assert missing.stderr.startswith("Error: no program 'no-such-program'")
    refused = run([str(SCRIPT), *roots, "unshare", "/etc/hosts"])
    assert refused.returncode == 126
    assert "ls -l /etc/hosts" in refused.stderr


@pytest.mark.kernel
def test_rpod_inside_rpod_unshare_sees_the_same_containers(user):
    run, roots = user
    done = run([str(SCRIPT), *roots, "unshare", str(SCRIPT), *roots, "ps", "-a", "--noheading"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.kernel
@pytest.mark.parametrize(
    "words", [["ps"], ["ps", "-a", "--format", "{{.ID}}"], ["inspect", "none"], ["rm", "none"], ["stop", "none"]]
)
def test_a_hot_command_imports_nothing_heavy_from_start_to_end(user, words):
    run, roots = user
    run([str(SCRIPT), *roots, "ps"])  # makes the namespace: the command measured is the second one
    done = run([os.path.realpath(sys.executable), "-I", "-S", "-c", SEE_MODULES, *roots, *words])
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "rootless_pod" in loaded, done.stderr
    assert loaded.isdisjoint(HEAVY), loaded & HEAVY
