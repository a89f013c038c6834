"""The one error type of rpod, in families by who must act.

A room raises one of these; only ``cli`` prints it and exits with ``exit_code``.
"""

from __future__ import annotations


class RpodError(Exception):
    """An expected failure: what failed, on which object, and what mends it.

    ``message`` is lower case, without a full stop, and names the object.
    ``remedy`` is one imperative sentence or a command to paste, never "try again".
    ``exit_code`` is what the command exits with (125 unless the command's own contract says otherwise).
    """

    exit_code = 125
    general_remedy = "run the command with --log-level debug to see more"
    """What helps against most errors of the family: shown where the error itself has no remedy."""

    def __init__(self, message: str, *, remedy: str | None = None, exit_code: int | None = None) -> None:
        """Keep the message and the remedy apart, so that every front end can show both."""
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        if exit_code is not None:
            self.exit_code = exit_code


class Usage(RpodError):
    """The command line or a value on it is wrong: the caller changes the call."""

    general_remedy = "run the command with --help to see what it takes"


class NotFound(RpodError):
    """A named object (image, container, file, program in an image) does not exist."""

    general_remedy = "check the name; what is there is listed by: rpod ps -a; rpod images"


class Conflict(RpodError):
    """A name, port or state is taken, or an object is in use."""


class HostUnready(RpodError):
    """The machine lacks a building block; the remedy says which command adds it."""

    general_remedy = "run: rpod doctor"


class ProgramFailed(RpodError):
    """A helper program failed; the message has its last lines and argv."""

    general_remedy = "run: rpod doctor"


class Refused(RpodError):
    """A policy, a registry or the kernel said no."""


class Corrupt(RpodError):
    """Bytes are not what they claim to be (digest, size, format)."""

    general_remedy = "get it anew from where it was made; nothing of it was kept"


class TimedOut(RpodError):
    """Something did not answer within its limit."""
