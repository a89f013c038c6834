"""The door to the C library: one handle, one way to call, ``OSError`` on failure.

Every syscall wrapper of ``linux/`` goes through ``call``; constants keep their
header names in the file that uses them.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)

_MACHINE = os.uname().machine
# Numbers below 424 differ between x86_64 and the generic table; from 424 on they are the same everywhere.
# Source: Linux arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
_NUMBERS = {
    "pivot_root": (155, 41),
    "statx": (332, 291),
    "seccomp": (317, 277),
    "renameat2": (316, 276),
    "keyctl": (250, 219),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "openat2": (437, 437),
    "mount_setattr": (442, 442),
    "setgroups": (116, 159),
    "setresuid": (117, 147),
    "setresgid": (119, 149),
}


def call(name: str, *arguments: Any, path: str | bytes | None = None) -> int:
    """Call the C function ``name``; strings must be bytes or ``None``.

    Raises:
        OSError: the call returned -1; it carries errno and ``path``.
    """
    result: int = getattr(_libc, name)(*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}", path)
    return result


def syscall(name: str, *arguments: Any, path: str | bytes | None = None) -> int:
    """Call a system call the C library may have no function for, by name (see ``_NUMBERS``).

    Raises:
        OSError: the call returned -1; ``ENOSYS`` where the kernel or this table lacks it.
    """
    number = _NUMBERS[name][0 if _MACHINE == "x86_64" else 1]
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    function = _libc.syscall
    function.restype = ctypes.c_long
    result: int = function(ctypes.c_long(number), *converted)
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}", path)
    return result


def encoded(text: str | bytes | None) -> bytes | None:
    """Return ``text`` as the kernel takes it."""
    return os.fsencode(text) if text is not None else None
