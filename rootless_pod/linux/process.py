"""prctl(2) and what else a process may say about itself."""

from __future__ import annotations

import ctypes

from rootless_pod.linux import libc

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38


def prctl(option: int, argument: int = 0) -> int:
    """Call prctl(2) with one argument."""
    return libc.call("prctl", option, ctypes.c_ulong(argument), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def set_name(name: str) -> None:
    """Set the name ``ps`` shows for this thread (15 bytes)."""
    libc.call("prctl", PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]), 0, 0, 0)
