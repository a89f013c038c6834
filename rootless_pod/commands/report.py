"""What is said on stderr when a command fails. HOT."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.errors import RpodError


def say(text: str) -> None:
    """Write a line to stderr at once, whatever Python's own streams hold back.

    A name out of an archive or of a registry can't give orders to the terminal: control characters are spelled out.
    """
    if not text.isprintable():
        text = "".join(one if one.isprintable() or one in "\n\t" else _spelled_out(one) for one in text)
    os.write(2, f"{text}\n".encode(errors="backslashreplace"))


def _spelled_out(character: str) -> str:
    return character.encode("unicode_escape").decode()


def report(error: RpodError) -> int:
    """Print an expected failure and its remedy; return the exit code."""
    say(f"Error: {error.message}")
    say(f"  {error.remedy or error.general_remedy}")
    return error.exit_code
