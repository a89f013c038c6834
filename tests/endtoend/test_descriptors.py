"""What a caller has open stays the caller's."""

from __future__ import annotations

import fcntl
import os
import subprocess

import pytest

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("network", ["none", "slirp4netns", "pasta"])
def test_a_detached_container_does_not_hold_its_starter_s_lock(img, tmp_path, network):
    """As in a script: ``(flock 9; rpod run -d …) 9>lock``."""
    held = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(held, True)
    fcntl.flock(held, fcntl.LOCK_EX)
    argv = img.argv("run", "-d", "--name", "long", "--network", network, "host", "--", "sleep", "1000")
    subprocess.run(argv, env=img.env, close_fds=False, check=True, capture_output=True, timeout=60)
    os.close(held)
    with open(tmp_path / "lock", "rb") as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert img("inspect", "--format", "{{.State.Status}}", "long") == "running\n"


def test_descriptors_that_are_asked_for_reach_the_command(img):
    read_end, write_end = os.pipe()
    words = img.argv("run", "--rm", "--network", "none", "--preserve-fds", "1", "host", "--", "sh", "-c", "echo hi >&3")
    script = f'exec 3>&{write_end}; exec "$@"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *words], env=img.env, pass_fds=(write_end,), capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    os.close(write_end)
    assert os.read(read_end, 10) == b"hi\n"
    os.close(read_end)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_the_caller_closed_is_as_good_as_empty(img, closed):
    def run(*words):
        script = f'exec "$@" {closed}'
        return subprocess.run(
            ["bash", "-c", script, "bash", *img.argv(*words)], env=img.env, capture_output=True, timeout=60
        )

    for words in (
        ("ps", "-a"),
        ("run", "--rm", "-i", "--network", "none", "host", "--", "sh", "-c", "cat; echo hi; echo ho >&2"),
    ):
        done = run(*words)
        assert done.returncode == 0, done.stderr
        assert (done.stdout == b"") == (">&-" in closed.split()), done.stdout
        assert b"Traceback" not in done.stderr
    assert run("run", "--rm", "--network", "none", "host", "--", "sh", "-c", "exit 7").returncode == 7


@pytest.mark.parametrize("words", [("ps",), ("run", "--help"), ("info",), ("images",)])
def test_output_that_cannot_be_written_is_said_once(img, words):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(img.argv(*words), env=img.env, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 125
    said = done.stderr.decode()
    assert said.startswith("Error: cannot write the output: no space left on device\n"), said
    assert len(said.splitlines()) == 2


def test_a_container_nobody_reads_any_more_goes_with_rm(img):
    words = img.argv("run", "--rm", "--stop-timeout", "0", "--network", "none", "host", "--", "yes")
    done = subprocess.run(
        ["bash", "-c", '"$@" | head -1; exit ${PIPESTATUS[0]}', "bash", *words],
        env=img.env, capture_output=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (141, b"y\n"), done.stderr
    assert img("ps", "-aq") == ""
