"""The user's terminal: raw mode that is always undone, and its size. Hot."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any


def window_size(fd: int) -> tuple[int, int] | None:
    """Return (rows, columns) of the terminal ``fd``; None if it is none or does not know."""
    try:
        size = os.get_terminal_size(fd)
    except OSError:
        return None
    return (size.lines, size.columns) if size.lines and size.columns else None


class RawMode:
    """Put the terminal ``fd`` into raw mode for the length of a ``with`` block.

    The old modes come back at the end, on an exception, and before SIGHUP, SIGTERM or SIGQUIT kill us (where nobody
    else handles them). After a stop (SIGTSTP) and a continue the terminal is raw again.
    """

    def __init__(self, fd: int) -> None:
        """Remember ``fd``; nothing is changed before the block begins."""
        self._fd = fd
        self._saved: list[Any] | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> RawMode:
        """Save the modes and go raw."""
        import signal
        import termios

        self._saved = termios.tcgetattr(self._fd)
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
            if signal.getsignal(number) == signal.SIG_DFL:
                self._handlers[number] = signal.signal(number, self._die)
        if signal.getsignal(signal.SIGCONT) == signal.SIG_DFL:
            self._handlers[signal.SIGCONT] = signal.signal(signal.SIGCONT, self._continue)
        self._go_raw()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Bring the old modes and handlers back."""
        import signal

        self.restore()
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def restore(self) -> None:
        """Bring the old modes back; a terminal that went away is no error."""
        import termios

        if self._saved is not None:
            try:
                termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)
            except termios.error:
                pass

    def _go_raw(self) -> None:
        """Set what cfmakeraw(3) sets."""
        import termios

        modes = termios.tcgetattr(self._fd)
        modes[0] &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        modes[1] &= ~termios.OPOST
        modes[2] = modes[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        modes[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        modes[6] = [*modes[6]]
        modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._fd, termios.TCSANOW, modes)

    def _die(self, number: int, _frame: FrameType | None) -> None:
        """Restore, then let the signal do what it does by default."""
        import signal

        self.restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _continue(self, _number: int, _frame: FrameType | None) -> None:
        """Go raw again: the shell gave us its own modes back with the terminal."""
        import termios

        try:
            self._go_raw()
        except termios.error:
            pass
