"""From the words of a command line to the command they name. HOT."""

from __future__ import annotations

from rootless_pod.commands import index
from rootless_pod.commands.parse import HelpWanted
from rootless_pod.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def find_command(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Split ``words`` into the command's words in ``index.COMMANDS`` and what is left.

    Raises:
        HelpWanted: a group is named together with ``--help``.
        Usage: there is no such command.
    """
    if not words:
        raise Usage("no command given", remedy="run 'rpod --help' for the list of commands")
    first, rest = words[0], words[1:]
    found = index.resolve(first)
    if found:
        return found, rest
    if first not in index.GROUPS:
        raise _no_such(first, "")
    if not rest:
        raise Usage(f"no command of 'rpod {first}' given", remedy=f"run 'rpod {first} --help' for the list")
    if rest[0] in ("--help", "-h"):
        raise HelpWanted
    found = index.resolve(f"{first} {rest[0]}")
    if not found:
        raise _no_such(rest[0], first)
    return found, rest[1:]


def _no_such(word: str, group: str) -> Usage:
    from rootless_pod.commands.nearest import nearest

    where = f"rpod {group}".rstrip()
    if word.startswith("-"):
        return Usage(f"unknown option {word} of '{where}'", remedy=f"run '{where} --help'")
    known = [*index.within(group), *(() if group else index.GROUPS)]
    guess = nearest(word, known)
    remedy = f"use '{where} {guess}', or run '{where} --help'" if guess else f"run '{where} --help' for the list"
    return Usage(f"unknown command '{where} {word}'", remedy=remedy)
