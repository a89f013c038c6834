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
    group = ""
    for count, word in enumerate(words, 1):
        path = f"{group} {word}" if group else word
        found = index.resolve(path)
        if found:
            return found, words[count:]
        if group and word in ("--help", "-h"):
            raise HelpWanted
        if path not in index.GROUPS:
            raise _no_such(word, group)
        group = path
    raise Usage(f"no command of 'rpod {group}' given", remedy=f"run 'rpod {group} --help' for the list")


def _no_such(word: str, group: str) -> Usage:
    from rootless_pod.commands.nearest import nearest

    where = f"rpod {group}".rstrip()
    if word.startswith("-"):
        return Usage(f"unknown option {word} of '{where}'", remedy=f"run '{where} --help'")
    known = [*index.within(group), *index.groups_within(group)]
    guess = nearest(word, known)
    remedy = f"use '{where} {guess}', or run '{where} --help'" if guess else f"run '{where} --help' for the list"
    return Usage(f"unknown command '{where} {word}'", remedy=remedy)
