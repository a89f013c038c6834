from __future__ import annotations

import ctypes
import datetime as dt
import errno
import os
import subprocess
import sys
import time

import pytest

from rootless_pod.ctime.birth import BIRTH, MODIFICATION, BirthTime, birth_time

ONE_SECOND = 1_000_000_000
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def failing_with(number):
    def function(*_arguments):
        ctypes.set_errno(number)
        return -1

    return function


def answering(mask, seconds=0, nanoseconds=0):
    """Return a stand-in for statx(2) that fills in the birth time and says what it filled in."""

    def function(_dir_fd, _path, _flags, _mask, pointer):
        answer = pointer._obj
        answer.stx_mask = mask
        answer.stx_btime.tv_sec, answer.stx_btime.tv_nsec = seconds, nanoseconds
        return 0

    return function


@pytest.fixture(params=["temporary directory", "/dev/shm"])
def directory(request, tmp_path):
    if request.param == "/dev/shm":
        path = f"/dev/shm/rpod-ctime-test-{os.getpid()}"
        os.mkdir(path)
        yield path
        for name in os.listdir(path):
            os.unlink(f"{path}/{name}")
        os.rmdir(path)
    else:
        yield str(tmp_path)


def make(path, text=""):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


def test_two_files_made_one_after_the_other_are_born_in_that_order(directory):
    before = time.time_ns()
    births = [birth_time(make(f"{directory}/{number}")) for number in range(20)]
    after = time.time_ns()
    assert [born.ns for born in births] == sorted(born.ns for born in births)
    # The clock of file systems is coarse: a time may lie up to a jiffy early.
    assert all(before - ONE_SECOND <= born.ns <= after for born in births)


def test_writing_touching_and_renaming_leave_the_birth_alone(directory):
    path = make(f"{directory}/file")
    born = birth_time(path)
    if born.source != BIRTH:
        pytest.skip(f"the file system of {directory} keeps no birth time")
    make(path, "more")
    os.utime(path, ns=(0, 0))
    os.chmod(path, 0o600)
    os.rename(path, f"{directory}/renamed")
    assert birth_time(f"{directory}/renamed") == born


def test_a_descriptor_a_path_in_bytes_and_a_pathlike_give_the_same(tmp_path):
    path = tmp_path / "file"
    make(path)
    fd = os.open(path, os.O_RDONLY)
    try:
        assert birth_time(fd) == birth_time(path) == birth_time(os.fsencode(path)) == birth_time(str(path))
        os.unlink(path)
        assert birth_time(fd).ns > 0
    finally:
        os.close(fd)


def test_a_link_is_followed_unless_told_otherwise(directory):
    target = make(f"{directory}/target")
    time.sleep(0.03)
    link = f"{directory}/link"
    os.symlink(target, link)
    assert birth_time(link) == birth_time(target)
    assert birth_time(link, follow_symlinks=False).ns > birth_time(target).ns


def test_a_dangling_link_is_missing_when_followed_and_born_when_not(directory):
    os.symlink("nowhere", f"{directory}/link")
    with pytest.raises(FileNotFoundError):
        birth_time(f"{directory}/link")
    assert birth_time(f"{directory}/link", follow_symlinks=False).ns > 0


def test_directories_have_a_birth(directory):
    assert birth_time(directory).ns <= time.time_ns()


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("/no/such/file", FileNotFoundError),
        ("/etc/passwd/x", NotADirectoryError),
        ("", FileNotFoundError),
        (10**6, OSError),
    ],
)
def test_what_is_not_there_raises_what_stat_raises(path, family):
    with pytest.raises(family):
        birth_time(path)
    with pytest.raises(family):
        os.stat(path)


def test_a_loop_of_links_raises(tmp_path):
    os.symlink("loop", tmp_path / "loop")
    with pytest.raises(OSError, match="symbolic link") as caught:
        birth_time(tmp_path / "loop")
    assert caught.value.errno == errno.ELOOP


def test_a_file_system_without_birth_times_gives_the_modification():
    assert birth_time("/proc/self/status").source == MODIFICATION


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_a_missing_or_forbidden_system_call_gives_the_modification(tmp_path, number):
    path = make(tmp_path / "file")
    os.utime(path, ns=(5, 7_000_000_011))
    assert birth_time(path, function=failing_with(number)) == BirthTime(7_000_000_011, MODIFICATION)
    fd = os.open(path, os.O_RDONLY)
    assert birth_time(fd, function=failing_with(number)).ns == 7_000_000_011
    os.close(fd)


def test_the_fallback_does_not_follow_a_link_either(tmp_path):
    link = tmp_path / "link"
    os.symlink("nowhere", link)
    os.utime(link, ns=(5, 9), follow_symlinks=False)
    assert birth_time(link, follow_symlinks=False, function=failing_with(errno.ENOSYS)).ns == 9


def test_without_the_system_call_a_missing_file_is_still_missing():
    with pytest.raises(FileNotFoundError):
        birth_time("/no/such/file", function=failing_with(errno.ENOSYS))


def test_other_failures_are_not_hidden_by_the_fallback(tmp_path):
    path = make(tmp_path / "file")
    with pytest.raises(PermissionError):
        birth_time(path, function=failing_with(errno.EACCES))


def test_an_answer_without_the_birth_bit_or_with_the_epoch_is_no_birth(tmp_path):
    path = make(tmp_path / "file")
    os.utime(path, ns=(5, 13))
    assert birth_time(path, function=answering(0x7FF, 99)) == BirthTime(13, MODIFICATION)
    assert birth_time(path, function=answering(0xFFF)) == BirthTime(13, MODIFICATION)
    assert birth_time(path, function=answering(0xFFF, 99, 7)) == BirthTime(99_000_000_007, BIRTH)


def test_a_birth_time_is_a_value():
    born = BirthTime(1_700_000_000_123_456_789, BIRTH)
    assert born == BirthTime(1_700_000_000_123_456_789, BIRTH) != BirthTime(1_700_000_000_123_456_789, MODIFICATION)
    assert len({born, BirthTime(1_700_000_000_123_456_789, BIRTH)}) == 1
    assert "birth" in repr(born)
    with pytest.raises(AttributeError):
        born.ns = 1
    assert born.at() == dt.datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=dt.UTC)


def test_the_command_prints_a_line_a_file_and_fails_for_a_missing_one(tmp_path):
    path = make(tmp_path / "file")
    argv = [sys.executable, "-m", "rootless_pod.ctime"]
    ran = subprocess.run([*argv, str(path), "/no/such"], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    born = birth_time(path)
    assert ran.stdout == f"{born.ns} {born.source} {path}\n"
    assert (ran.returncode, "/no/such" in ran.stderr) == (1, True)
    assert subprocess.run(argv, capture_output=True, check=False, cwd=REPOSITORY).returncode == 2


def test_the_room_works_copied_out_of_the_project(tmp_path):
    import shutil

    import rootless_pod.ctime

    package = tmp_path / "rootless_pod"
    package.mkdir()
    (package / "__init__.py").write_text("")
    shutil.copytree(os.path.dirname(rootless_pod.ctime.__file__), package / "ctime")
    code = "from rootless_pod.ctime.birth import birth_time; print(birth_time('/etc').source)"
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=env
    )
    assert ran.stdout.strip() in (BIRTH, MODIFICATION)
