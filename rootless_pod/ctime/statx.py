"""statx(2) through ctypes: the one call that tells when a file was born. Depends on nothing else of the project.

Source: Linux include/uapi/linux/stat.h (since 4.11), statx(2); the struct is 256 bytes on every architecture.
"""

from __future__ import annotations

import ctypes
import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    StatxFunction = Callable[[int, bytes, int, int, Any], int]

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_NO_AUTOMOUNT = 0x800
AT_EMPTY_PATH = 0x1000

STATX_MTIME = 0x0040
STATX_BTIME = 0x0800

# Number of the system call, for a C library without the function (glibc < 2.28, musl < 1.2.5).
# Source: the kernel's syscall tables; every architecture added after 2018 shares the generic number.
_GENERIC_NUMBER = 291
_NUMBERS = {
    "x86_64": 332,
    "i386": 383,
    "i586": 383,
    "i686": 383,
    "armv6l": 397,
    "armv7l": 397,
    "armv8l": 397,
    "ppc": 383,
    "ppc64": 383,
    "ppc64le": 383,
    "s390": 379,
    "s390x": 379,
    "sparc": 360,
    "sparc64": 360,
    "mips": 4366,
    "mips64": 5326,
    "alpha": 522,
}
# What a 32-bit process is, whatever the kernel calls the machine.
_NARROW = {"x86_64": "i386", "aarch64": "armv8l", "mips64": "mips"}
_WORD_BYTES = ctypes.sizeof(ctypes.c_void_p)


class StatxTimestamp(ctypes.Structure):
    """``struct statx_timestamp``: 16 bytes, 64-bit seconds also on 32-bit machines."""

    _fields_ = [
        ("tv_sec", ctypes.c_int64),
        ("tv_nsec", ctypes.c_uint32),
        ("reserved", ctypes.c_int32),
    ]

    @property
    def ns(self) -> int:
        """Nanoseconds since the epoch; negative before 1970."""
        return int(self.tv_sec) * 1_000_000_000 + int(self.tv_nsec)


class Statx(ctypes.Structure):
    """``struct statx``: 256 bytes."""

    _fields_ = [
        ("stx_mask", ctypes.c_uint32),
        ("stx_blksize", ctypes.c_uint32),
        ("stx_attributes", ctypes.c_uint64),
        ("stx_nlink", ctypes.c_uint32),
        ("stx_uid", ctypes.c_uint32),
        ("stx_gid", ctypes.c_uint32),
        ("stx_mode", ctypes.c_uint16),
        ("spare0", ctypes.c_uint16),
        ("stx_ino", ctypes.c_uint64),
        ("stx_size", ctypes.c_uint64),
        ("stx_blocks", ctypes.c_uint64),
        ("stx_attributes_mask", ctypes.c_uint64),
        ("stx_atime", StatxTimestamp),
        ("stx_btime", StatxTimestamp),
        ("stx_ctime", StatxTimestamp),
        ("stx_mtime", StatxTimestamp),
        ("stx_rdev_major", ctypes.c_uint32),
        ("stx_rdev_minor", ctypes.c_uint32),
        ("stx_dev_major", ctypes.c_uint32),
        ("stx_dev_minor", ctypes.c_uint32),
        ("stx_mnt_id", ctypes.c_uint64),
        ("stx_dio_mem_align", ctypes.c_uint32),
        ("stx_dio_offset_align", ctypes.c_uint32),
        ("spare3", ctypes.c_uint64 * 12),
    ]


def system_function(machine: str | None = None, library: Any = None, *, word_bytes: int = _WORD_BYTES) -> StatxFunction:
    """Return a callable with the arguments of statx(2): the C library's, else the bare system call.

    It returns -1 and sets errno on failure. ``machine`` is ``os.uname().machine``, ``library`` a ``ctypes.CDLL`` with
    ``use_errno``; both are found when left out. ``word_bytes`` is 4 in a 32-bit process.
    """
    libc = ctypes.CDLL(None, use_errno=True) if library is None else library
    arguments = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
    try:
        function = libc.statx
    except AttributeError:
        known = machine or os.uname().machine
        number = _NUMBERS.get(_NARROW.get(known, known) if word_bytes == 4 else known, _GENERIC_NUMBER)
        bare = libc.syscall
        bare.restype = ctypes.c_long
        bare.argtypes = (ctypes.c_long, *arguments)
        return lambda *values: int(bare(number, *values))
    function.restype = ctypes.c_int
    function.argtypes = arguments
    return function


_system: StatxFunction | None = None


def statx(
    path: str | bytes | os.PathLike[str] | int,
    mask: int,
    *,
    follow_symlinks: bool = True,
    function: StatxFunction | None = None,
) -> Statx:
    """Ask the kernel for the fields in ``mask`` (``STATX_*``) of a path or an open descriptor.

    What was filled in is in ``stx_mask`` of the answer: it may be less than was asked for. An automount point is not
    mounted by asking. ``function`` stands in for the system's (tests).

    Raises:
        OSError: the call failed; ``ENOSYS`` on a kernel before 4.11, ``EPERM`` under some old seccomp profiles.
    """
    global _system  # noqa: PLW0603 - one look-up a process
    if function is None:
        if _system is None:
            _system = system_function()
        function = _system
    answer = Statx()
    if isinstance(path, int):
        # Beyond these the kernel would see another number, and AT_FDCWD is no descriptor of the caller's.
        if not 0 <= path < 1 << 31:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), path)
        result = function(path, b"", AT_EMPTY_PATH, mask, ctypes.byref(answer))
    else:
        name = os.fsencode(path)
        if b"\0" in name:
            raise ValueError("embedded null byte")
        flags = AT_NO_AUTOMOUNT | (0 if follow_symlinks else AT_SYMLINK_NOFOLLOW)
        result = function(AT_FDCWD, name, flags, mask, ctypes.byref(answer))
    if result != 0:
        number = ctypes.get_errno() or errno.EIO
        raise OSError(number, os.strerror(number), path)
    return answer
