"""Signals without the standard library's ``signal``, whose enumerations cost a hot command 8 ms. No ctypes."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SIGHUP: int = _signal.SIGHUP
SIGINT: int = _signal.SIGINT
SIGQUIT: int = _signal.SIGQUIT
SIGKILL: int = _signal.SIGKILL
SIGPIPE: int = _signal.SIGPIPE
SIGTERM: int = _signal.SIGTERM
SIGCHLD: int = _signal.SIGCHLD
SIGWINCH: int = _signal.SIGWINCH
SIG_DFL: int = _signal.SIG_DFL
SIG_IGN: int = _signal.SIG_IGN


def send(pidfd: int, number: int) -> None:
    """Send a signal to the process behind ``pidfd``, which can't be another one by now (raises OSError)."""
    _signal.pidfd_send_signal(pidfd, number)


def handle(number: int, handler: Callable[[int, Any], None] | int | None) -> Any:
    """Set what a signal does and return what it did before; main thread only."""
    return _signal.signal(number, handler)


def wake_by(fd: int) -> int:
    """Have each signal's number written to ``fd`` as a byte (-1: no more); return the former one."""
    former: int = _signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    return former


def pause() -> None:
    """Sleep until a signal comes."""
    _signal.pause()


def numbers() -> dict[str, int]:
    """Return every signal's number by its name (``SIGTERM`` …)."""
    return {
        name: int(value)
        for name, value in vars(_signal).items()
        if name.startswith("SIG") and not name.startswith("SIG_") and isinstance(value, int)
    }
