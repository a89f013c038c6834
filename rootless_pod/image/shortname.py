"""What a short name means: an alias, the one registry searched, or what the user says at the terminal.

Source: containers-registries.conf(5), "SHORT-NAME RESOLUTION": enforcing asks, and refuses where it can't; permissive
asks where it can, and tries all in order where it can't; disabled tries all.
"""

from __future__ import annotations

import os

from rootless_pod.config.aliases import alias_file, record_alias
from rootless_pod.errors import Refused, Usage
from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from rootless_pod.config.registries import Registries
    from rootless_pod.oci.reference import Reference

    class Terminal(Protocol):
        """Where the user is asked."""

        def is_there(self) -> bool:
            """Whether somebody can answer."""

        def ask(self, text: str) -> str:
            """Show ``text`` and return the answer's line ("" at the end of input)."""


class UserTerminal:
    """Standard input and error, where both are terminals."""

    def is_there(self) -> bool:
        """Tell whether they are."""
        return os.isatty(0) and os.isatty(2)

    def ask(self, text: str) -> str:
        """Write to stderr and read a line."""
        os.write(2, text.encode())
        line = b""
        while not line.endswith(b"\n"):
            part = os.read(0, 1024)
            if not part:
                break
            line += part
        return line.decode(errors="replace").strip()


class Resolution(Frozen):
    """The full names to try, and what to keep once one of them was pulled: (short name, full name)."""

    candidates: tuple[Reference, ...]
    alias: tuple[str, str] | None = None

    def keep(self) -> None:
        """Remember the user's choice."""
        if self.alias is not None:
            record_alias(alias_file(), *self.alias)


def resolve_short_name(registries: Registries, text: str, terminal: Terminal | None = None) -> Resolution:
    """Return what ``text`` may mean.

    Raises:
        Usage: bad name, or no registry to search.
        Refused: it could mean several things, and nobody can be asked or the answer is none of them.
    """
    found = registries.candidates(text)
    if not found:
        raise Usage(
            f"short name {text!r}: no registry is configured to search",
            remedy="write the registry too, or set unqualified-search-registries in registries.conf",
        )
    if len(found) == 1 or registries.short_name_mode == "disabled":
        return Resolution(candidates=found)
    terminal = terminal or UserTerminal()
    if not terminal.is_there():
        if registries.short_name_mode == "permissive":
            return Resolution(candidates=found)
        raise Refused(
            f"short name {text!r} could mean any of: {', '.join(map(str, found))}",
            remedy='write one of these, or set short-name-mode = "permissive" in registries.conf',
        )
    chosen = _choose(text, found, terminal)
    short = text.partition("@")[0]
    head, colon, tag = short.rpartition(":")
    short = head if colon and "/" not in tag else short
    return Resolution(candidates=(chosen,), alias=(short, chosen.name))


def _choose(text: str, found: tuple[Reference, ...], terminal: Terminal) -> Reference:
    """Ask until the answer is a number of the list; an empty one is the first."""
    lines = "".join(f"  {number}) {one}\n" for number, one in enumerate(found, 1))
    question = f"Which image is {text!r}?\n{lines}Number [1]: "
    for _attempt in range(3):
        answer = terminal.ask(question)
        if not answer:
            return found[0]
        if answer.isdigit() and 1 <= int(answer) <= len(found):
            return found[int(answer) - 1]
        question = f"Number from 1 to {len(found)} [1]: "
    raise Refused(f"short name {text!r}: no image was chosen", remedy=f"write the whole name: {found[0]}")
