"""Signals as bytes of a pipe, so that one ``poll`` waits for them together with everything else. Hot."""

from __future__ import annotations

import os

from rootless_pod.linux import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

SIGWINCH = 28

# What --sig-proxy passes on. Not: KILL and STOP (nobody can), CHLD and PIPE (ours), WINCH (the terminal's size goes
# another way), URG and CONT, the stops of job control, and what a fault of our own raises.
# Numbers as on x86, ARM, RISC-V, POWER and s390: HUP INT QUIT USR1 USR2 ALRM TERM STKFLT VTALRM PROF IO PWR.
PROXIED = (1, 2, 3, 10, 12, 14, 15, 16, 26, 27, 29, 30)
_FIRST_REALTIME, _LAST_REALTIME = 34, 64
"""The C library keeps 32 and 33 to itself."""


def proxied_signals() -> tuple[int, ...]:
    """Return the numbers of the signals that ``--sig-proxy`` passes on to the container."""
    return (*PROXIED, *range(_FIRST_REALTIME, _LAST_REALTIME + 1))


class SignalWatch:
    """Catch ``numbers`` for the length of a ``with`` block; ``fd`` becomes readable, ``read()`` tells which came.

    Enter it before the container starts, so that no signal is lost. Main thread only.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        """Remember ``numbers``; nothing is caught before the block begins."""
        self._numbers = tuple(numbers)
        self._handlers: dict[int, Any] = {}
        self._write_fd = -1
        self._former_wakeup = -1
        self.fd = -1

    def __enter__(self) -> SignalWatch:
        """Begin to catch."""
        self.fd, self._write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._former_wakeup = signals.wake_by(self._write_fd)
        for number in self._numbers:
            self._handlers[number] = signals.handle(number, _ignore)
        return self

    def __exit__(self, *_exception: object) -> None:
        """Bring the former handlers back."""
        while self._handlers:
            number, handler = self._handlers.popitem()
            signals.handle(number, signals.SIG_DFL if handler is None else handler)
        signals.wake_by(self._former_wakeup)
        os.close(self.fd)
        os.close(self._write_fd)
        self.fd = self._write_fd = -1

    def read(self) -> tuple[int, ...]:
        """Return the signals that came since the last call, in order, each as often as it was seen."""
        try:
            numbers = os.read(self.fd, 256)
        except BlockingIOError:
            return ()
        return tuple(number for number in numbers if number in self._handlers)


def _ignore(_number: int, _frame: object) -> None:
    """Do nothing: the number is in the pipe already."""
