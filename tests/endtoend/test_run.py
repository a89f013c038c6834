"""``rpod run`` as a user types it, on an image of real Debian packages (or busybox, for a user with one id)."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import Rpod


def test_login_user_runs_a_command_on_the_machines_own_system(rpod: Rpod) -> None:
    assert rpod("run", "--rm", "host", "--", "id", "-u").strip() == "0"
    assert rpod("ps", "-aq") == ""


def test_login_user_changes_nothing_of_the_machine_through_the_host_image(rpod: Rpod) -> None:
    before = set(os.listdir("/usr")), set(os.listdir("/etc"))
    out = rpod(
        "run", "--rm", "host", "--", "sh", "-c", "touch /usr/made /etc/made && ls /usr/made /etc/made; ls -A /home"
    )
    assert out.split() == ["/etc/made", "/usr/made"]
    assert before == (set(os.listdir("/usr")), set(os.listdir("/etc")))


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs", "pyfuse3"])
def test_the_host_image_can_be_read_only_but_for_what_is_mounted_into_it(
    rpod: Rpod, tmp_path: Path, driver: str
) -> None:
    places = "/ /etc /usr /home /var/lib /opt /usr/share/new /tmp /var/tmp"
    look = f"for one in {places}; do touch $one/made 2> /dev/null && echo $one; done; ls -A /var/tmp; true"
    words = ("run", "--rm", "--network", "none", "--read-only", "-v", f"{tmp_path}:/opt", "-v", "new:/usr/share/new")
    done = rpod.with_options("--storage-driver", driver).run(*words, "host", "sh", "-c", look)
    if b"does not work here" in done.stderr:
        pytest.skip(done.stderr.decode())
    writable = ["/opt", "/usr/share/new", "/tmp", "/var/tmp", "made"]
    assert done.stdout.decode().split() == writable, done.stderr.decode()


def test_login_user_runs_the_images_user_command_and_directory(img: Rpod) -> None:
    assert img("run", "--rm", "img").strip() == "default command"
    assert img("run", "--rm", "img", "sh", "-c", "id -un; pwd; echo $FROM_IMAGE").split() == ["app", "/app", "yes"]


def test_login_single_whiteouts_hard_links_and_symlinks_are_as_the_image_says(img: Rpod) -> None:
    words = (
        "ls /app/dir; ls /app/gone 2>&1 | wc -l; stat -c %h /app/one; cat /app/two /app/latest; stat -c %a /app/setuid"
    )
    out = img("run", "--rm", "img", "sh", "-c", words).split()
    assert out[0] == "new"
    assert "2" in out
    assert out.count("linked") == 2
    assert out[-1] == "4755"


def test_debian_programs_run(img: Rpod, debian: bool) -> None:
    if not debian:
        pytest.skip("this user cannot make the Debian image: no subordinate ids")
    assert img("run", "--rm", "img", "apt-get", "--version").startswith("apt ")
    assert img("run", "--rm", "img", "python3", "hello.py").split() == ["python", "3", "1000", "/app"]


def test_a_setuid_program_of_the_image_changes_the_user(img: Rpod, debian: bool) -> None:
    if not debian:
        pytest.skip("one id cannot change to another")
    assert img("run", "--rm", "--user", "app", "img", "su", "--help", code=0)
    out = img("run", "--rm", "img", "stat", "-c", "%a %u", "/usr/bin/su")
    assert out.split() == ["4755", "0"]


@pytest.mark.parametrize(("command", "code"), [(["sh", "-c", "exit 7"], 7), (["nosuch"], 127), (["/etc/passwd"], 126)])
def test_login_exit_codes_are_those_of_the_command_or_say_why_it_did_not_run(
    img: Rpod, command: list[str], code: int
) -> None:
    img("run", "--rm", "img", *command, code=code)
    assert img("ps", "-aq") == ""


def test_login_a_signal_ends_with_128_and_its_number(img: Rpod) -> None:
    child = img.start(
        "run", "--rm", "--name", "victim", "img", "sh", "-c", "echo up; sleep 100", stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        img("kill", "victim")
        assert child.wait(30) == 137


def test_login_stdin_stdout_and_stderr_are_apart_and_exact(img: Rpod) -> None:
    data = os.urandom(300_000)
    done = img.run("run", "-i", "--rm", "img", "sh", "-c", "cat; echo err >&2", stdin=data)
    assert done.stdout == data
    assert done.stderr == b"err\n"


def test_without_interactive_stdin_is_empty(img: Rpod) -> None:
    assert img("run", "--rm", "img", "cat", stdin=b"not handed on") == ""


def test_signals_reach_the_process_of_the_container(img: Rpod) -> None:
    script = "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    child = img.start("run", "--rm", "img", "sh", "-c", script, stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGTERM)
        assert child.stdout.read() == b"got it\n"
        assert child.wait(30) == 3


def test_login_detached_container_is_listed_logged_entered_stopped_and_removed(img: Rpod) -> None:
    container = img("run", "-d", "--name", "bg", "img", "sh", "-c", "echo out; echo err >&2; exec sleep 1000").strip()
    assert len(container) == 64
    assert img("ps", "--format", "{{.Names}} {{.State}}").strip() == "bg running"
    for _ in range(100):
        if "out" in img("logs", "bg"):
            break
        time.sleep(0.05)
    done = img.run("logs", "bg")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
    assert img("exec", "bg", "sh", "-c", "echo inside; exit 4", code=4).strip() == "inside"
    assert img("exec", "-i", "bg", "cat", stdin=b"fed").strip() == "fed"
    assert img("inspect", "--format", "{{.State.Status}}", "bg").strip() == "running"
    assert img("stop", "-t", "0", "bg").strip() == "bg"
    assert img("ps", "-a", "--format", "{{.State}} {{.ExitCode}}").strip() == "exited 137"
    assert img("rm", "bg").strip() == "bg"
    assert img("ps", "-aq") == ""


def test_a_followed_log_ends_with_the_container(img: Rpod) -> None:
    img("run", "-d", "--name", "talker", "img", "sh", "-c", "for n in 1 2 3; do echo line $n; sleep 0.2; done")
    assert img("logs", "-f", "talker", timeout=20).split("\n")[:3] == ["line 1", "line 2", "line 3"]


def test_a_stopped_container_starts_again_with_what_it_wrote(img: Rpod) -> None:
    img("run", "--name", "twice", "--user", "root", "img", "sh", "-c", "echo run >> /kept; wc -l < /kept")
    assert img("start", "-a", "twice").strip() == "2"
    assert img("start", "-a", "twice").strip() == "3"


def test_finished_at_is_the_birth_of_the_exit_file(img: Rpod) -> None:
    before = time.time()
    img("run", "--name", "timed", "img", "true")
    after = time.time()
    document = json.loads(img("inspect", "timed"))[0]
    text = document["State"]["FinishedAt"].replace("Z", "+00:00")
    from datetime import datetime

    head, _, rest = text.partition(".")
    moment = datetime.fromisoformat(head + "+00:00").timestamp() + float("0." + rest.partition("+")[0])
    assert before - 1 <= moment <= after + 0.1


def test_a_name_is_taken_once_and_replaced_on_request(img: Rpod) -> None:
    first = img("create", "--name", "one", "img", "true").strip()
    said = img.error("create", "--name", "one", "img", "true")
    assert first[:12] in said
    assert "--replace" in said
    second = img("create", "--name", "one", "--replace", "img", "true").strip()
    assert img("ps", "-aq", "--no-trunc").split() == [second]


def test_an_id_prefix_names_a_container_and_a_shared_one_does_not(img: Rpod) -> None:
    container = img("create", "img", "true").strip()
    assert img("inspect", "--format", "{{.Id}}", container[:6]).strip() == container
    assert "no container" in img.error("stop", "zzz")


def test_volumes_are_mounted_and_kept(img: Rpod, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "seen").write_text("from the host\n")
    assert img("run", "--rm", "-v", f"{tmp_path}:/mnt:ro", "img", "cat", "/mnt/seen") == "from the host\n"
    img("run", "--rm", "--user", "0", "-v", f"{tmp_path}:/mnt", "img", "sh", "-c", "echo back > /mnt/written")
    written = tmp_path / "written"
    assert written.read_text() == "back\n"
    assert written.stat().st_uid == os.getuid()
    img("run", "--rm", "--user", "0", "-v", "keep:/data", "img", "sh", "-c", "echo kept > /data/file")
    assert img("run", "--rm", "-v", "keep:/data", "img", "cat", "/data/file") == "kept\n"
    said = img.error("run", "--rm", "-v", f"{tmp_path}/missing:/x", "img", "true")
    assert f"{tmp_path}/missing" in said


def test_cid_and_pid_files_are_written(img: Rpod, tmp_path: Path) -> None:
    words = ["--cidfile", f"{tmp_path}/cid", "--pidfile", f"{tmp_path}/pid"]
    container = img("run", "-d", *words, "img", "sleep", "100").strip()
    assert (tmp_path / "cid").read_text() == container
    pid = int((tmp_path / "pid").read_text())
    assert Path(f"/proc/{pid}").exists()
    assert "exists" in img.error("run", "--cidfile", f"{tmp_path}/cid", "img", "true")


def test_the_dry_run_prints_the_plan_and_makes_nothing(img: Rpod) -> None:
    out = img("run", "--dry-run", "--network", "none", "-v", "nobody:/x", "img", "id")
    config = json.loads(next(line for line in out.splitlines() if line.startswith("config.json: "))[13:])
    assert config["process"]["args"] == ["id"]
    assert "seccomp" in config["linux"]
    assert img("ps", "-aq") == ""
    assert not (img.root / "volumes" / "nobody").exists()


def test_limits_without_a_delegated_controller_are_refused_by_name(img: Rpod) -> None:
    done = img.run("run", "--rm", "--memory", "64m", "img", "true")
    if done.returncode == 0:
        pytest.skip("the memory controller is delegated here: the limit was applied")
    assert b"--memory" in done.stderr
    assert b"remedy" in done.stderr or b"  " in done.stderr


@pytest.mark.parametrize("options", ["", ":uid=1234,gid=1234"])
def test_login_keep_id_shows_the_caller_and_the_images_own_owners(
    img: Rpod, debian: bool, tmp_path: Path, options: str
) -> None:
    wanted = str(1234 if options else os.getuid())
    (tmp_path / "mine").write_text("x")
    words = "id -u; stat -c %u /mnt/mine /bin/sh; touch /mnt/made; cat /mnt/mine"
    out = img(
        "run",
        "--rm",
        "--userns",
        f"keep-id{options}",
        "--user",
        wanted,
        "-v",
        f"{tmp_path}:/mnt",
        "img",
        "sh",
        "-c",
        words,
    )
    owners = out.split()
    assert owners[:2] == [wanted, wanted]
    if debian:
        assert owners[2] == "0"
    assert (tmp_path / "made").stat().st_uid == os.getuid()


def test_the_ids_lent_to_a_name_are_the_containers(img: Rpod) -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    lent = [row.split(":") for row in Path("/etc/subuid").read_text().splitlines() if row.startswith(f"{me}:")]
    if len(lent) != 1:
        pytest.skip("this user has not one range of subordinate ids")
    words = ("run", "--rm", "--network", "none", "--subuidname", me)
    assert img(*words, "img", "cat", "/proc/self/uid_map").split() == ["0", "1", lent[0][2]]
    img(
        "run", "-d", "--name", "owner", "--network", "none", "--subuidname", me, "--subgidname", me, "img", "sleep", "9"
    )
    joined = img("run", "--rm", "--network", "none", "--userns", "container:owner", "img", "cat", "/proc/self/uid_map")
    assert joined.split() == ["0", "1", lent[0][2]]


def test_limits_of_old_cgroups_are_left_out_and_said(img: Rpod) -> None:
    once = ("run", "--rm", "--network", "none")
    done = img.run(*once, "--cpu-rt-period", "1000", "--memory-swappiness", "50", "img", "echo", "done")
    assert (done.returncode, done.stdout) == (0, b"done\n")
    assert b"realtime period not supported on cgroups V2 systems" in done.stderr
    assert b"memory swappiness not supported" in done.stderr
    assert img.run(*once, "--memory-swappiness", "-1", "img", "true").stderr == b""
    assert "is not a whole number" in img.error(*once, "--cpu-rt-period", "-1", "img", "true")


@pytest.mark.parametrize(
    "wish", [["--device", "nosuch.com/gpu=all"], ["--device", "/dev/nosuch"], ["-v", "/nowhere:/x"], ["--userns", "x"]]
)
def test_a_wish_that_cannot_be_followed_leaves_no_container(img: Rpod, tmp_path: Path, wish: list[str]) -> None:
    cid = tmp_path / "cid"
    img.error("run", "--network", "none", "--cidfile", str(cid), *wish, "img", "true")
    assert img("ps", "-aq") == ""
    assert not cid.exists()
    img.run("run", "--name", "stays", "--network", "none", "img", "no-such-program")
    assert img("ps", "-a", "--format", "{{.Names}}") == "stays\n"


def test_no_new_files_are_left_by_a_run_that_fails(img: Rpod) -> None:
    img.error("run", "--rm", "-v", "/nowhere:/x", "img", "true")
    img.error("run", "--rm", "--network", "nosuch", "img", "true")
    img("run", "--rm", "img", "nosuch", code=127)
    assert img("ps", "-aq") == ""
    assert img.mounts() == []


def test_two_stores_on_one_runtime_directory_leave_each_other_alone(rpod: Rpod) -> None:
    second = Rpod(Path(f"{rpod.root}-second"), rpod.runroot)
    try:
        name = rpod("run", "-d", "--network", "none", "host", "sleep", "1000").strip()
        second("run", "--rm", "--network", "none", "host", "true")
        second("rm", "-f", "-a")
        second("system", "prune", "-f")
        assert rpod("exec", name, "echo", "alive") == "alive\n"
        second("system", "reset", "-f")
        assert not second.root.exists()
        assert rpod("exec", name, "echo", "alive") == "alive\n"
        rpod("stop", "-t", "0", name)
        assert rpod("inspect", "-f", "{{.State.Status}}", name) == "exited\n"
    finally:
        second("unshare", "rm", "-rf", str(second.root))


def test_shared_memory_is_lent_by_a_container_that_nobody_made_for_it(img: Rpod) -> None:
    img("run", "-d", "--name", "lender", "--network", "none", "host", "--", "sleep", "100")
    img("exec", "lender", "sh", "-c", "echo lent > /dev/shm/there")
    words = ("run", "--rm", "--network", "none", "--ipc", "container:lender", "host", "--")
    assert img(*words, "sh", "-c", "cat /dev/shm/there; echo back > /dev/shm/here") == "lent\n"
    assert img("exec", "lender", "cat", "/dev/shm/here") == "back\n"
    borrowed = img("unshare", "sh", "-c", "grep -cE '/containers/[0-9a-f]+/shm ' /proc/self/mounts || true")
    assert borrowed.strip() == "0"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--log-opt", "path=/etc/passwd"), "can't write"),
        (("--log-opt", "path=/tmp"), "can't write"),
        (("--replace",), "without --name"),
        (("--label", "=x"), "has no name"),
    ],
)
def test_wishes_that_cannot_be_are_refused_before_there_is_a_container(
    rpod: Rpod, options: tuple[str, ...], words: str
) -> None:
    done = rpod.run("run", *options, "host", "true")
    assert done.returncode == 125
    assert words in done.stderr.decode().splitlines()[0]
    assert rpod("ps", "-aq") == ""
