from __future__ import annotations

import ctypes
import os

import pytest

from rootless_pod.ctime import statx as module
from rootless_pod.ctime.statx import STATX_BTIME, STATX_MTIME, Statx, StatxTimestamp, statx, system_function

# Source: Linux include/uapi/linux/stat.h, the offsets written beside the fields there.
OFFSETS = {
    "stx_mask": 0x00, "stx_blksize": 0x04, "stx_attributes": 0x08, "stx_nlink": 0x10, "stx_uid": 0x14, "stx_gid": 0x18,
    "stx_mode": 0x1C, "stx_ino": 0x20, "stx_size": 0x28, "stx_blocks": 0x30, "stx_attributes_mask": 0x38,
    "stx_atime": 0x40, "stx_btime": 0x50, "stx_ctime": 0x60, "stx_mtime": 0x70, "stx_rdev_major": 0x80,
    "stx_rdev_minor": 0x84, "stx_dev_major": 0x88, "stx_dev_minor": 0x8C, "stx_mnt_id": 0x90, "stx_dio_mem_align": 0x98,
    "stx_dio_offset_align": 0x9C,
}  # fmt: skip


@pytest.mark.parametrize(("field", "offset"), OFFSETS.items())
def test_each_field_lies_where_the_kernel_writes_it(field, offset):
    assert getattr(Statx, field).offset == offset


def test_the_structs_have_the_kernels_sizes():
    assert ctypes.sizeof(Statx) == 256
    assert ctypes.sizeof(StatxTimestamp) == 16
    assert (StatxTimestamp.tv_sec.size, StatxTimestamp.tv_nsec.offset, StatxTimestamp.tv_nsec.size) == (8, 8, 4)


def test_seconds_after_2038_and_before_1970_are_kept():
    assert StatxTimestamp(tv_sec=2**33, tv_nsec=5).ns == 2**33 * 10**9 + 5
    assert StatxTimestamp(tv_sec=-2, tv_nsec=1).ns == -2 * 10**9 + 1


def test_the_answer_is_what_stat_says(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    os.utime(path, ns=(1, 4_102_444_800_123_456_789))
    answer = statx(path, STATX_MTIME | STATX_BTIME)
    found = os.stat(path)
    assert answer.stx_mtime.ns == found.st_mtime_ns == 4_102_444_800_123_456_789
    assert (answer.stx_ino, answer.stx_size, answer.stx_nlink) == (found.st_ino, 5, 1)
    assert (answer.stx_mode, answer.stx_uid) == (found.st_mode, found.st_uid)
    assert os.makedev(answer.stx_dev_major, answer.stx_dev_minor) == found.st_dev


class WithoutTheFunction:
    """A C library from before statx: only syscall(2)."""

    def __init__(self):
        self.syscall = ctypes.CDLL(None, use_errno=True).syscall


def test_an_old_c_library_goes_through_the_bare_system_call(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"")
    bare = system_function(library=WithoutTheFunction())
    assert statx(path, STATX_BTIME, function=bare).stx_btime.ns == statx(path, STATX_BTIME).stx_btime.ns
    with pytest.raises(FileNotFoundError):
        statx(tmp_path / "missing", STATX_BTIME, function=bare)


def test_the_number_of_the_system_call_follows_the_machine():
    class Recorder:
        def __init__(self):
            self.numbers = []

            def syscall(number, *_rest):
                self.numbers.append(number)
                return 0

            self.syscall = syscall

    for machine, word_bytes, number in (
        ("x86_64", 8, 332),
        ("x86_64", 4, 383),
        ("i686", 4, 383),
        ("armv7l", 4, 397),
        ("aarch64", 8, 291),
        ("aarch64", 4, 397),
        ("riscv64", 8, 291),
        ("s390x", 8, 379),
    ):
        recorder = Recorder()
        function = system_function(machine=machine, library=recorder, word_bytes=word_bytes)
        statx("/", STATX_BTIME, function=function)
        assert recorder.numbers == [number]


@pytest.mark.parametrize("number", [-100, -1, 2**31, 2**32, 10**30])
def test_a_number_that_is_no_descriptor_is_not_taken_for_another_one(number):
    """Minus 100 is AT_FDCWD to the kernel, and 2**32 would be cut down to 0."""
    with pytest.raises(OSError, match="Bad file descriptor"):
        statx(number, STATX_BTIME)


def test_a_failure_carries_errno_and_path(tmp_path):
    missing = str(tmp_path / "missing")
    with pytest.raises(FileNotFoundError) as caught:
        statx(missing, STATX_BTIME)
    assert caught.value.filename == missing


def test_a_null_byte_is_refused_and_not_cut_off():
    with pytest.raises(ValueError, match="null byte"):
        statx("/etc\0/x", STATX_BTIME)


def test_the_module_imports_nothing_of_the_project():
    with open(module.__file__, encoding="utf-8") as file:
        assert "rootless_pod" not in file.read()
