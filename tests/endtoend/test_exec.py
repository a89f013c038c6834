"""exec as podman 4.3.1 does it: its options, its exit codes, and what it may not do to the caller's files."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

pytestmark = pytest.mark.kernel
NO_SESSION = 255  # podman's code where no session was made


@pytest.fixture
def one(img):
    img("run", "-d", "--name", "one", "--network", "none", "-w", "/tmp", "-e", "X=1", "-u", "0", "img", "sleep", "1000")
    return img


def test_directory_and_variables_are_those_of_the_container_until_asked_otherwise(one, tmp_path):
    file = tmp_path / "env"
    file.write_text("A=1\nB=two words\n#no\nFROM_HERE\n")
    here = one.with_options(env={"FROM_HERE": "yes", "D1": "d"})
    assert one("exec", "one", "pwd") == "/tmp\n"
    assert one("exec", "-w", "/etc", "one", "pwd") == "/etc\n"
    assert one.run("exec", "-w", "/no/such", "one", "pwd").returncode == 127
    lines = here("exec", "--env-file", str(file), "-e", "X=2", "-e", "D*", "one", "env").splitlines()
    assert {"A=1", "B=two words", "FROM_HERE=yes", "X=2", "D1=d"} <= set(lines)
    assert "#no" not in " ".join(lines)


def test_users_groups_and_rights(one):
    assert one("exec", "-u", "0:5", "one", "id", "-g") == "5\n"
    assert "no matching entries" in one.error("exec", "-u", "nosuch", "one", "true", code=NO_SESSION)
    bounds = one("exec", "--privileged", "one", "grep", "CapBnd", "/proc/self/status")
    plain = one("exec", "one", "grep", "CapBnd", "/proc/self/status")
    assert int(bounds.split()[1], 16) > int(plain.split()[1], 16)


def test_exit_codes_are_podmans(one):
    for words, code in (
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -9 $$"), 137),
        (("nosuchcmd",), 127),
        (("/etc",), 126),
        ((), NO_SESSION),
    ):
        assert one.run("exec", "one", *words).returncode == code, words
    assert one.run("exec", "nosuch", "true").returncode == 125


def test_descriptors_are_handed_on_if_they_are_open(one, tmp_path):
    (tmp_path / "text").write_text("of the caller\n")
    argv = ["sh", "-c", 'exec 3<"$1"; shift; exec "$@"', "sh", str(tmp_path / "text")]
    argv += one.argv("exec", "--preserve-fds", "1", "one", "cat", "/proc/self/fd/3")
    done = subprocess.run(argv, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"of the caller\n"), done.stderr
    assert "descriptor 3 is not open" in one.error("exec", "--preserve-fds", "1", "one", "true")


def test_a_file_that_takes_the_output_keeps_its_owner(one, tmp_path):
    path, source = tmp_path / "out", tmp_path / "in"
    source.write_text("from a file\n")
    with path.open("wb") as out, source.open("rb") as given:
        before = os.fstat(out.fileno())
        code = subprocess.run(
            one.argv("exec", "-i", "-u", "1", "one", "cat"), stdin=given, stdout=out, check=False, timeout=60
        ).returncode
        after, read = os.fstat(out.fileno()), os.fstat(given.fileno())
    assert code == 0
    assert path.read_text() == "from a file\n"
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert (read.st_uid, read.st_gid) == (before.st_uid, before.st_gid)


def test_a_detached_process_goes_on_without_us(one):
    session = one("exec", "-d", "one", "sh", "-c", "sleep 0.3; echo done > /tmp/mark").strip()
    assert len(session) == 64
    end = time.monotonic() + 20
    while one.run("exec", "one", "test", "-e", "/tmp/mark").returncode and time.monotonic() < end:
        time.sleep(0.1)
    assert one("exec", "one", "cat", "/tmp/mark") == "done\n"


def test_several_attached_clients_see_the_same_output(img):
    img("run", "-d", "-i", "--name", "one", "--network", "none", "img", "sh", "-c", "read line; echo got $line; exit 3")
    clients = [img.start("attach", "--no-stdin", "one", stdout=subprocess.PIPE) for _ in range(3)]
    time.sleep(1)
    talker = img.start("attach", "one", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    said = talker.communicate(b"hello\n", timeout=30)[0]
    assert said == b"got hello\n"
    assert talker.returncode == 3
    for client in clients:
        assert client.communicate(timeout=30)[0] == b"got hello\n"
        assert client.returncode == 3


def test_wait_takes_every_condition(img):
    img("create", "--name", "one", "--network", "none", "img", "sh", "-c", "sleep 0.5; exit 4")
    assert img("wait", "--condition", "configured", "one") == img("wait", "--condition", "created", "one") == "-1\n"
    ready = img.start("wait", "-i", "20ms", "--condition", "initialized", "one", stdout=subprocess.PIPE)
    running = img.start("wait", "-i", "20ms", "--condition", "running,stopped", "one", stdout=subprocess.PIPE)
    time.sleep(0.5)
    img("init", "one")
    assert ready.communicate(timeout=20)[0] == b"-1\n"
    img("start", "one")
    assert running.communicate(timeout=20)[0] == b"-1\n"
    assert img("wait", "one") == img("wait", "--condition", "exited", "one") == "4\n"
    img.error("wait", "--condition", "bogus", "one")
    img.error("wait", "--interval", "1x", "one")
    img.error("wait", "nosuch")
