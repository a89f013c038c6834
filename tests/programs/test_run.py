"""Starting programs: their descriptors, their output, their end."""

from __future__ import annotations

import os
import signal
import time

import pytest

from rootless_pod.errors import HostUnready, ProgramFailed, TimedOut
from rootless_pod.programs.find import find_program, search_path
from rootless_pod.programs.run import check, run, spawn, wait


def _children() -> set[str]:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return set(file.read().split())


def test_output_code_and_input_come_through():
    done = run(["sh", "-c", "cat; echo no >&2; exit 3"], stdin=b"in")
    assert (done.code, done.stdout, done.stderr) == (3, b"in", b"no\n")


def test_more_input_and_output_than_a_pipe_holds_does_not_block():
    data = os.urandom(1_000_000)
    assert run(["cat"], stdin=data, timeout_seconds=30).stdout == data


def test_a_program_that_closes_its_outputs_gets_all_of_its_input(tmp_path):
    data = os.urandom(400_000)
    run(["sh", "-c", f"exec >&- 2>&-; sleep 0.1; cat > {tmp_path}/got"], stdin=data, timeout_seconds=30)
    assert (tmp_path / "got").read_bytes() == data


def test_a_reader_that_goes_away_ends_the_input_quietly():
    assert run(["true"], stdin=b"x" * 1_000_000, timeout_seconds=30).code == 0


def test_without_input_stdin_is_empty():
    assert run(["cat"], timeout_seconds=10).stdout == b""


def test_what_does_not_end_in_time_is_killed_and_reaped():
    begun, children = time.monotonic(), _children()
    with pytest.raises(TimedOut, match="sleep 60"):
        run(["sleep", "60"], timeout_seconds=0.2)
    assert time.monotonic() - begun < 10
    assert _children() <= children


@pytest.mark.parametrize("script", ["exec >&- 2>&-; exec sleep 60", "exec yes"])
def test_closed_outputs_and_endless_ones_are_no_way_around_the_time(script):
    children = _children()
    with pytest.raises(TimedOut):
        run(["sh", "-c", script], timeout_seconds=0.2)
    assert _children() <= children


def test_a_program_that_is_not_there_says_so_and_leaks_nothing():
    before = os.listdir("/proc/self/fd")
    with pytest.raises(HostUnready, match="nosuchprogram"):
        run(["nosuchprogram"], stdin=b"x")
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize("content", [b"garbage\n", b"#!/nowhere/sh\n"])
def test_a_program_the_kernel_can_t_run_is_the_host_s_fault(tmp_path, content):
    program = tmp_path / "program"
    program.write_bytes(content)
    program.chmod(0o755)
    with pytest.raises(HostUnready, match="program can't be run"):
        run([str(program)])


def test_a_signal_is_a_negative_code():
    assert run(["sh", "-c", "kill -9 $$"]).code == -signal.SIGKILL


def test_descriptors_may_swap_places():
    first_read, first_write = os.pipe()
    second_read, second_write = os.pipe()
    pid = spawn(
        ["bash", "-c", f"echo to-first >&{second_write}; echo to-second >&{first_write}"],
        fds={second_write: first_write, first_write: second_write},
    )
    assert wait(pid) == 0
    os.close(first_write)
    os.close(second_write)
    assert os.read(first_read, 100) == b"to-first\n"
    assert os.read(second_read, 100) == b"to-second\n"
    os.close(first_read)
    os.close(second_read)


def test_a_child_has_none_of_the_descriptors_we_opened():
    kept = os.open("/dev/null", os.O_RDONLY)
    listed = run(["ls", "-l", "/proc/self/fd"]).stdout.decode()
    os.close(kept)
    assert f" {kept} -> /dev/null" not in listed
    assert " 1 -> pipe:" in listed


def test_sigpipe_that_python_ignores_ends_the_child():
    done = run(["sh", "-c", "trap - PIPE; (sleep 0.1; yes; echo $? >&2) | true; kill -s PIPE $$; echo still here"])
    assert done.code == -signal.SIGPIPE


def test_a_failure_names_what_was_done_the_last_lines_and_the_command():
    with pytest.raises(ProgramFailed, match=r"mount it: three; four; five \(ran: sh -c .*\)") as failure:
        check(
            run(["sh", "-c", "printf 'one\\ntwo\\nthree\\nfour\\nfive\\n' >&2; exit 1"]), "mount it", remedy="do this"
        )
    assert failure.value.remedy == "do this"


def test_programs_are_found_on_the_path_and_where_distributions_put_them(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:relative/part")
    monkeypatch.delenv("RPOD_PROGRAM_PATH", raising=False)
    (tmp_path / "conmon").write_text("#!/bin/sh\n")
    assert find_program("conmon") != str(tmp_path / "conmon")
    (tmp_path / "conmon").chmod(0o755)
    assert find_program("conmon") == str(tmp_path / "conmon")
    assert "/usr/libexec/podman" in search_path()
    assert "relative/part" not in search_path()


def test_a_path_of_our_own_is_the_only_one(tmp_path, monkeypatch):
    monkeypatch.setenv("RPOD_PROGRAM_PATH", str(tmp_path))
    assert find_program("sh") is None
    assert find_program("/bin/sh") == "/bin/sh"
