"""prctl(2) and what else a process may say about itself."""

from __future__ import annotations

import ctypes
import struct

from rootless_pod.linux import libc

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522


def prctl(option: int, argument: int = 0) -> int:
    """Call prctl(2) with one argument."""
    return libc.call("prctl", option, ctypes.c_ulong(argument), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def set_name(name: str) -> None:
    """Set the name ``ps`` shows for this thread (15 bytes)."""
    libc.call("prctl", PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]), 0, 0, 0)


def keep_capabilities(bits: int) -> None:
    """Give up all capabilities but those in ``bits``, for this thread and for good: no program gives them back."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    data = struct.pack("=6I", low, low, 0, high, high, 0)
    libc.call("capset", ctypes.c_char_p(header), ctypes.c_char_p(data))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
