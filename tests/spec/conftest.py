"""Real containers for tests marked ``kernel``: an unprivileged user, uid 0 of a user namespace, a busybox root."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile

import pytest

from rootless_pod.linux.cgroup import find_layout

TEST_USER = os.environ.get("RPOD_TEST_USER", "rpod-test")
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INSIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside.py")
APPLETS = [
    "sh",
    "id",
    "cat",
    "ls",
    "mount",
    "env",
    "pwd",
    "grep",
    "sleep",
    "stat",
    "df",
    "true",
    "touch",
    "mkdir",
    "head",
    "hostname",
    "umask",
    "tr",
]
PASSWD = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
GROUP = "root:x:0:\nalice:x:1000:\nwheel:x:10:alice\nvideo:x:44:alice\n"


def as_user() -> list[str]:
    """The words that make a command the test user's (nothing, where we are one already)."""
    if os.getuid() != 0:
        return []
    try:
        entry = pwd.getpwnam(TEST_USER)
    except KeyError:
        pytest.skip(f"there is no user {TEST_USER} to run containers as")
    return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups", "--inh-caps=-all"]


def with_cgroup2(argv: list[str]) -> list[str]:
    """Run ``argv`` where crun is content: on a hybrid host only root can arrange that, in a mount namespace of its own."""
    if find_layout() == "v2":
        return argv
    if os.getuid() != 0:
        pytest.skip("crun refuses hybrid cgroups, and only root can mount cgroup2 for it")
    script = (
        "mount -t cgroup2 none /sys/fs/cgroup && mkdir -p /sys/fs/cgroup/rpod-spec"
        f" && chown -R {TEST_USER} /sys/fs/cgroup/rpod-spec"
        ' && echo $$ > /sys/fs/cgroup/rpod-spec/cgroup.procs && exec "$@"'
    )
    return ["unshare", "--mount", "sh", "-c", script, "sh", *argv]


class Containers:
    """Runs one container after the other in a directory of its own."""

    def __init__(self, runtime: str) -> None:
        self.runtime = runtime
        self.directory = tempfile.mkdtemp(prefix="rpod-spec-test-")
        self.rootfs = f"{self.directory}/rootfs"
        os.chmod(self.directory, 0o711)  # noqa: S103 - with nomap the container's root is a stranger here
        os.makedirs(f"{self.rootfs}/bin")
        os.makedirs(f"{self.rootfs}/etc")
        os.makedirs(f"{self.directory}/bundle", mode=0o700)
        shutil.copy(shutil.which("busybox") or "", f"{self.rootfs}/bin/busybox")
        for applet in APPLETS:
            os.symlink("busybox", f"{self.rootfs}/bin/{applet}")
        self.write("etc/passwd", PASSWD)
        self.write("etc/group", GROUP)

    def write(self, path: str, text: str) -> None:
        with open(f"{self.rootfs}/{path}", "w") as file:
            file.write(text)

    def run(self, script: str, *, single_id: bool = False, locked: str = "", **job) -> str:
        """Run ``script`` in the container's shell and return its output; keywords are those of inside.py."""
        job = {"runtime": self.runtime, "directory": self.directory, "script": script, **job}
        if os.getuid() == 0:
            entry = pwd.getpwnam(TEST_USER)
            subprocess.run(["chown", "-R", f"{entry.pw_uid}:{entry.pw_gid}", self.directory], check=True)
        maps = ["--map-root-user"] if single_id else ["--map-auto", "--map-root-user"]
        argv = [
            *as_user(), "unshare", "--user", *maps, "--mount",
            sys.executable, "-B", INSIDE, json.dumps(job),
        ]  # fmt: skip
        if locked:
            if os.getuid() != 0:
                pytest.skip("only root can make a nosuid,nodev mount that a user namespace has to respect")
            mounted = f'mount -t tmpfs -o nosuid,nodev tmpfs {locked} && exec "$@"'
            argv = ["unshare", "--mount", "sh", "-c", mounted, "sh", *argv]
        if self.runtime == "crun":
            argv = with_cgroup2(argv)
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
            check=False,
            env={**os.environ, "PYTHONPATH": REPOSITORY},
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def judge(self, script: str, options: list[str]) -> str:
        """Return what podman's container says with the same root file system; a skip where podman can't run here."""
        entry = pwd.getpwnam(TEST_USER)
        home = f"{self.directory}/podman"
        os.makedirs(home, exist_ok=True)
        subprocess.run(["chown", "-R", f"{entry.pw_uid}:{entry.pw_gid}", self.directory], check=True)
        argv = [
            *as_user(), "env", f"HOME={home}", f"XDG_RUNTIME_DIR={home}", "podman", "--root", f"{home}/root",
            "--runroot", f"{home}/run", "--runtime", "runc", "--storage-driver", "vfs", "--events-backend", "none",
            "run", "--rm", "--network", "none", *options, "--rootfs", self.rootfs, "/bin/sh", "-c", script,
        ]  # fmt: skip
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd="/", check=False)
        if done.returncode:
            pytest.skip(f"podman can't run a container here: {done.stderr.strip()[-200:]}")
        return done.stdout

    def close(self) -> None:
        argv = ["rm", "-rf", self.directory]
        if os.getuid() != 0:  # files of the subordinate ids go only from inside the namespace
            argv = ["unshare", "--user", "--map-auto", "--map-root-user", *argv]
        subprocess.run(argv, check=True, timeout=60)


@pytest.fixture(params=["runc", "crun"])
def containers(request):
    for program in (request.param, "busybox", "unshare", "newuidmap"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    made = Containers(request.param)
    yield made
    made.close()
