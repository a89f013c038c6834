"""Hosts that lack something: a clear error with a remedy, or what still works, said once.

Files are hidden and limits set in namespaces of the test's own; nothing of the machine changes.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_images import Archive, is_clear, nothing_of_it, one_layer
from conftest import RPOD, Rpod, make_store

import rootless_pod


class Poor:
    """rpod on a host that lacks something, run as the same user."""

    def __init__(self, rpod: Rpod) -> None:
        self.rpod = rpod

    def run(
        self,
        *words: str,
        hide: tuple[str, ...] = (),
        before: str = "",
        env: dict[str, str] | None = None,
        as_root: bool = False,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run rpod with files ``hide`` emptied and the shell lines ``before`` done, in a namespace where we are root at first."""
        steps = [before] if before else []
        steps += [f"mount --bind $(mktemp -p {self.rpod.root}) {path}" for path in hide if Path(path).exists()]
        become = "" if as_root else f"unshare --user --map-user={os.getuid()} --map-group={os.getgid()} -- "
        script = "set -e\n" + "\n".join(steps) + f'\nexec {become}"$@"'
        argv = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *self.rpod.argv(*words)]
        return subprocess.run(
            argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=120, env={**self.rpod.env, **(env or {})}
        )


def devices_without(*missing: str) -> str:
    """Return shell lines that make a /dev without the devices ``missing``."""
    names = [
        name for name in ("null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun") if name not in missing
    ]
    return f"""
        old=$(mktemp -d)
        mount --rbind /dev $old
        mount -t tmpfs -o mode=755 none /dev
        mkdir /dev/net /dev/pts /dev/shm
        for one in {" ".join(names)}; do if [ -e $old/$one ]; then touch /dev/$one; mount --bind $old/$one /dev/$one; fi; done
        for one in pts shm; do if [ -e $old/$one ]; then mount --rbind $old/$one /dev/$one; fi; done
        ln -s pts/ptmx /dev/ptmx
        ln -s /proc/self/fd /dev/fd
        """


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


@pytest.fixture
def poor() -> Iterator[Poor]:
    """A store of its own: its pause process lives in namespaces of the test's own."""
    rpod = make_store()
    yield Poor(rpod)
    subprocess.run(["unshare", "--user", "--map-root-user", "rm", "-rf", str(rpod.root)], check=False)
    rpod.end()


def programs_without(place: Path, *missing: str) -> dict[str, str]:
    """Return the environment in which rpod finds every program of this machine but ``missing``."""
    place.mkdir()
    for directory in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for path in Path(directory).iterdir() if Path(directory).is_dir() else ():
            if path.name not in missing and not (place / path.name).is_symlink():
                (place / path.name).symlink_to(path)
    return {"RPOD_PROGRAM_PATH": str(place)}


@pytest.mark.parametrize(
    ("missing", "words"),
    [(("conmon",), ("conmon", "apt-get install conmon")), (("crun", "runc"), ("crun", "apt install crun"))],
)
def test_a_missing_monitor_or_runtime_is_named_with_its_package(
    rpod: Rpod, tmp_path: Path, missing: tuple[str, ...], words: tuple[str, ...]
) -> None:
    lacking = rpod.with_options(env=programs_without(tmp_path / "bin", *missing))
    is_clear(lacking.error("run", "--rm", "host", "--", "true"), *words)
    nothing_of_it(rpod)
    is_clear(lacking.error("run", "-d", "--name", "kept", "host", "--", "true"), *words)
    nothing_of_it(rpod)
    assert lacking("ps", "-a") != ""
    assert lacking("images") != ""


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """A Python without any package."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    return tmp_path / "bare/bin/python"


def test_a_missing_python_package_is_named_with_the_command_that_installs_it(
    rpod: Rpod, bare_python: Path, tmp_path: Path
) -> None:
    lacking = rpod.with_options(env={"RPOD_PYTHON": str(bare_python)})
    # An installed rpod finds the packages that were installed beside it.
    shutil.copytree(Path(rootless_pod.__file__).parent, tmp_path / "alone/rootless_pod")
    (tmp_path / "alone/bin").mkdir()
    lacking.program = shutil.copy(rpod.program, tmp_path / "alone/bin/rpod")
    remedy = f"{bare_python} -m pip install"
    is_clear(lacking.error("pull", "127.0.0.1:1/name"), "urllib3 is not installed", f"{remedy} urllib3")
    package = next(bare_python.parents[1].glob("lib/python3*/site-packages")) / "urllib3"
    package.mkdir()
    (package / "__init__.py").write_text('__version__ = "1.26.12"\n')
    too_old = "urllib3 1.26.12 is too old"
    is_clear(lacking.error("pull", "127.0.0.1:1/name"), too_old, f"{remedy} 'urllib3>=2.2'")
    told = lacking.run("doctor", "--quiet").stdout.decode()
    assert f"package urllib3: the Python package {too_old}" in told
    assert f"{remedy} backports.zstd" in told or sys.version_info >= (3, 14)


def test_the_doctor_sends_users_to_an_administrator_for_what_is_installed(rpod: Rpod, tmp_path: Path) -> None:
    lacking = rpod.with_options(
        env=programs_without(tmp_path / "bin", "pasta", "slirp4netns", "crun", "fuse-overlayfs")
    )
    told = lacking.run("doctor").stdout.decode()
    lines = told.splitlines()
    after = {line.split(":")[0].split(None, 1)[1]: rest for line, rest in itertools.pairwise(lines) if line[0] != " "}
    for subject in ("network pasta", "network slirp4netns", "named networks", "runtime crun", "storage fuse-overlayfs"):
        assert re.search(r"-> ask an administrator to run: \S+ (install|-S|add) \S+$", after[subject]), told


def test_one_runtime_is_enough(rpod: Rpod, tmp_path: Path) -> None:
    for missing in ("crun", "runc"):
        lacking = rpod.with_options(env=programs_without(tmp_path / f"bin-{missing}", missing))
        done = lacking.run("run", "--rm", "host", "--", "echo", "works")
        if missing == "runc" and done.returncode:
            is_clear(done.stderr.decode(), "crun")  # a host that mixes cgroup v1 and v2
        else:
            assert done.stdout == b"works\n", done.stderr
        for record in rpod.runroot.glob("*/probes/*"):
            record.unlink()


def test_without_newuidmap_one_id_is_used_and_said_once(rpod: Rpod, tmp_path: Path) -> None:
    lacking = rpod.with_options(env=programs_without(tmp_path / "bin", "newuidmap"))
    first = lacking.run("run", "--rm", "host", "--", "id", "-u")
    assert first.stdout == b"0\n", first.stderr
    if subprocess.run(["grep", "-q", f"^{os.environ.get('USER')}:", "/etc/subuid"], check=False).returncode == 0:
        assert b"newuidmap is not installed" in first.stderr
        assert b"uidmap" in first.stderr
    second = lacking.run("run", "--rm", "host", "--", "id", "-u")
    assert (second.stdout, second.stderr) == (b"0\n", b"")


def test_without_sub_ids_one_id_is_used_and_said_once(poor: Poor) -> None:
    done = poor.run("run", "--rm", "--network", "none", "host", "--", "id", "-u", hide=("/etc/subuid", "/etc/subgid"))
    assert done.stdout == b"0\n", done.stderr
    assert b"no subordinate ids" in done.stderr
    assert b"usermod --add-subuids" in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_without_user_namespaces_the_limit_and_its_remedy_are_named(poor: Poor) -> None:
    for words in (("run", "--rm", "host", "--", "true"), ("images",), ("unshare", "true")):
        done = poor.run(*words, before="echo 0 > /proc/sys/user/max_user_namespaces", as_root=True)
        if words[0] == "images" and done.returncode == 0:
            continue  # a command that only reads may do without
        assert done.returncode == 125, (words, done.stderr)
        is_clear(done.stderr.decode(), "max_user_namespaces", "sysctl -w")
    assert not list(poor.rpod.runroot.glob("*/pause.json"))


def test_without_dev_fuse_the_driver_that_needs_it_says_so_and_another_is_chosen(poor: Poor) -> None:
    lacking = devices_without("fuse")
    if shutil.which("fuse-overlayfs"):
        argv = ("--storage-driver", "fuse-overlayfs", "run", "--rm", "--network", "none", "host", "--", "true")
        done = poor.run(*argv, before=lacking)
        assert done.returncode == 125, done.stderr
        is_clear(done.stderr.decode(), "/dev/fuse")
    done = poor.run("run", "--rm", "--network", "none", "host", "--", "echo", "works", before=lacking)
    assert done.stdout == b"works\n", done.stderr


def test_without_dev_net_tun_helpers_say_so_and_the_hosts_network_is_used(poor: Poor) -> None:
    lacking = devices_without("net/tun")
    for helper in ("slirp4netns", "pasta"):
        if shutil.which(helper):
            done = poor.run("run", "--rm", "--network", helper, "host", "--", "true", before=lacking)
            assert done.returncode == 125, done.stderr
            is_clear(done.stderr.decode(), "/dev/net/tun")
    done = poor.run("run", "--rm", "host", "--", "echo", "works", before=lacking)
    assert done.stdout == b"works\n", done.stderr
    assert b"host's network" in done.stderr
    again = poor.run("run", "--rm", "host", "--", "echo", "works", before=lacking)
    assert (again.stdout, again.stderr) == (b"works\n", b"")


def default_runroot(rpod: Rpod, **env: str | None) -> subprocess.CompletedProcess[bytes]:
    """Run a container with the runtime directory chosen from the environment."""
    environment = {key: value for key, value in {**rpod.env, **env}.items() if value is not None}
    argv = [RPOD, "--root", str(rpod.root), "run", "--rm", "--network", "none", "host", "--", "echo", "works"]
    return subprocess.run(argv, env=environment, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)


@pytest.mark.parametrize("directory", [None, "", "/nonexistent", "/", "relative"])
def test_a_runtime_directory_that_is_missing_or_someone_elses_is_replaced(rpod: Rpod, directory: str | None) -> None:
    done = default_runroot(rpod, XDG_RUNTIME_DIR=directory)
    assert done.stdout == b"works\n", done.stderr


def test_a_runtime_directory_in_which_others_may_write_is_not_used(rpod: Rpod, tmp_path: Path) -> None:
    open_place = tmp_path / "rootless-pod"
    open_place.mkdir()
    open_place.chmod(0o777)
    done = default_runroot(rpod, XDG_RUNTIME_DIR=str(tmp_path))
    assert done.stdout == b"works\n", done.stderr
    assert list(open_place.iterdir()) == []


def test_a_home_that_cannot_be_written_is_named_with_the_option_that_helps(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    environment = {**os.environ, "HOME": str(home)}
    environment.pop("XDG_DATA_HOME", None)
    runroot = tmp_path / "run"
    argv = [RPOD, "--runroot", str(runroot), "run", "--rm", "host", "--", "true"]
    done = subprocess.run(argv, env=environment, capture_output=True, timeout=60)
    assert done.returncode == 125
    is_clear(done.stderr.decode(), str(home), "--root DIR")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("taken", [178, 188, 253])
def test_a_full_disk_in_the_middle_of_a_pull_is_named_and_costs_nothing(
    poor: Poor, archive: Archive, taken: int
) -> None:
    """The store lies on a tmpfs of 256 MiB, some of it taken (pulls begin with 64 free); with room made, the pull succeeds."""
    files = ((f"file{number}", {"content": os.urandom(1 << 14) * 64}) for number in range(80))
    layout = archive.layout("large", one_layer(*files))
    root = poor.rpod.root
    rpod = " ".join(poor.rpod.argv())
    script = f"""
        mount -t tmpfs -o size=256m none {root}
        head -c {taken}M /dev/zero > {root}/filler
        {rpod} pull -q oci:{layout}:bad; echo "code $?"
        echo "images $({rpod} images -q)"
        echo "left $(find {root} -name '.staging*' -o -name '.trash*' -o -name '*.part' | wc -l)"
        echo "used $(du -sk --exclude=filler {root} | cut -f1)"
        rm {root}/filler
        {rpod} pull -q oci:{layout}:bad; echo "code $?"
        {rpod} run --rm --network none $({rpod} images -q) sh -c 'ls /file15'
    """
    argv = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script]
    done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=120, env=poor.rpod.env)
    out, said = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in said, said
    assert "no space left" in said.lower() or "disk is full" in said.lower() or "full" in said.lower(), said
    first, _, rest = out.partition("images")
    assert first.strip() == "code 125", (out, said)
    assert "left 0" in rest, (out, said)
    # Only the bottom layer, which was whole, may stay for the next pull.
    assert int(rest.partition("used ")[2].split()[0]) < 4096, (out, said)
    assert "code 0" in rest, f"{out}\n{said}"
    assert "/file15" in rest, (out, said)


def test_on_a_full_disk_a_run_says_so_and_images_can_still_be_removed(poor: Poor, archive: Archive) -> None:
    layout, root = archive.layout("small", one_layer(("file", {"content": b"1"}))), poor.rpod.root
    rpod = " ".join(poor.rpod.argv())
    script = f"""
        mount -t tmpfs -o size=128m none {root}
        {rpod} pull -q oci:{layout}:bad; {rpod} image inspect -f x $({rpod} images -q)
        cat /dev/zero > {root}/filler 2>/dev/null
        {rpod} run --rm --network none $({rpod} images -q) true; echo "run $?"
        {rpod} rmi -a > /dev/null; echo "rmi $?"
        echo "images $({rpod} images -q | wc -l), containers $({rpod} ps -aq | wc -l)"
    """
    argv = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script]
    done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=120, env=poor.rpod.env)
    out, said = done.stdout.decode(), done.stderr.decode()
    is_clear(said, "no space left", "rpod info")
    assert out.splitlines()[-3:] == ["run 125", "rmi 0", "images 0, containers 0"], said


def in_directory(rpod: Rpod, place: Path, then: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run rpod in ``place``, after the shell line ``then`` has made that directory useless."""
    place.mkdir()
    script = f'cd "$1" && {then} "$1" && shift && exec "$@" 2>&1'
    argv = ["bash", "-c", script, "bash", str(place), *rpod.argv(*words)]
    return subprocess.run(argv, env=rpod.env, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)


def test_a_deleted_working_directory_is_not_taken_for_the_root_directory(rpod: Rpod, tmp_path: Path) -> None:
    run = ("run", "--rm", "--network", "none")
    done = in_directory(rpod, tmp_path / "gone", "rmdir", *run, "host", "--", "echo", "works")
    assert done.stdout.endswith(b"works\n")
    for wish in (("-v", ".:/here"), ("-v", "./etc:/here"), ("--mount", "type=bind,src=etc,dst=/here")):
        done = in_directory(rpod, tmp_path / "gone", "rmdir", *run, *wish, "host", "--", "true")
        assert done.returncode == 125, done.stdout
        is_clear(
            done.stdout.decode().replace("sh: 0: getcwd() failed: No such file or directory\n", ""),
            "directory is deleted",
        )
    done = in_directory(rpod, tmp_path / "gone", "rmdir", "load", "-i", "etc/hostname")
    assert b"cannot read etc/hostname" in done.stdout


def test_a_working_directory_that_is_not_ours_to_read_is_no_obstacle(rpod: Rpod, tmp_path: Path) -> None:
    rpod("run", "--rm", "host", "--", "true")
    done = in_directory(rpod, tmp_path / "closed", "chmod 0", "run", "--rm", "host", "--", "echo", "works")
    assert done.stdout == b"works\n"


def test_a_relative_runtime_directory_is_not_used(rpod: Rpod, tmp_path: Path) -> None:
    (tmp_path / "relative").mkdir(mode=0o700)
    argv = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(tmp_path), RPOD, "--root", str(rpod.root)]
    environment = {**rpod.env, "XDG_RUNTIME_DIR": "relative"}
    done = subprocess.run([*argv, "info", "--format", "{{.Store.RunRoot}}"], env=environment, capture_output=True)
    assert done.stdout.startswith(b"/"), done.stderr
    assert not (tmp_path / "relative/rootless-pod").exists()
