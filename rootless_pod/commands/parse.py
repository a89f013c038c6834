"""Read a command line straight from the declaration of its command. HOT.

The grammar is click's (typer's parser reads the same lines with the same result, a test holds it),
and pflag's where podman's users rely on more: ``--flag=false``, ``-e=K=V``, ``-it=false``, ``--list a,b``.
"""

from __future__ import annotations

from rootless_pod.commands import quantity
from rootless_pod.errors import Refused, Usage
from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless_pod.commands.declare import Argument, Command, Option


class HelpWanted(Exception):
    """``--help`` was on the command line."""


class Parsed(Frozen):
    """The values of a command line; ``persistent`` holds global options given after the command's name."""

    values: dict[str, object]
    arguments: dict[str, object]
    given: frozenset[str]
    persistent: dict[str, object]


def convert(option: Option, text: str) -> object:
    """Check one value of ``option`` and return it in the option's type.

    Raises:
        ValueError: what is wrong with ``text``.
    """
    kind = option.kind
    if option.choices and any(part not in option.choices for part in (text.split(",") if option.split else (text,))):
        raise ValueError(f"not one of {', '.join(one for one in option.choices if one)}")
    if kind == "flag":
        return quantity.parse_bool(text)
    if kind in ("int", "uint"):
        number = quantity.parse_integer(text, signed=kind == "int")
        return text if option.keep_text else number
    if kind == "float":
        quantity.parse_number(text)
    elif kind == "size":
        quantity.parse_size(text)
    elif kind == "duration":
        quantity.parse_duration(text)
    elif kind == "list" and option.split:
        return quantity.split_commas(text)
    return text


class _Reader:
    """The state of one reading: what is left, what was found."""

    def __init__(self, command: Command, argv: Sequence[str], persistent: Sequence[Option]) -> None:
        self.command = command
        self.words = list(argv)
        self.at = 0
        self.found: dict[str, object] = {}
        self.persistent: dict[str, object] = {}
        self.positional: list[str] = []
        self.spelled: dict[str, Option] = {}
        for option in command.options:
            self.spelled[option.name] = option
            if option.short:
                self.spelled[option.short] = option
            for alias in option.aliases:
                self.spelled[alias] = option
        self.outer = {option.name: option for option in persistent if option.name not in self.spelled}

    def read(self) -> None:
        words = self.words
        while self.at < len(words):
            word = words[self.at]
            self.at += 1
            if word == "--":
                break
            if len(word) < 2 or word[0] != "-":
                self.positional.append(word)
                if not self.command.interspersed:
                    break
            elif word[1] == "-":
                self.read_long(word)
            else:
                self.read_short(word)
        self.positional += words[self.at :]

    def read_long(self, word: str) -> None:
        name, equals, value = word.partition("=")
        option = self.spelled.get(name)
        into = self.found
        if option is None:
            option = self.outer.get(name)
            into = self.persistent
        if option is None:
            if name == "--help":
                raise HelpWanted
            raise _unknown(self.command, name, [*self.spelled, *self.outer])
        if equals:
            self.put(option, name, value, into)
        elif option.kind == "flag":
            self.put(option, name, "true", into)
        elif option.kind == "optional":
            self.put(option, name, option.optional_value, into)
        else:
            self.put(option, name, self.next_word(name), into)

    def read_short(self, word: str) -> None:
        at = 1
        while at < len(word):
            name = f"-{word[at]}"
            at += 1
            option = self.spelled.get(name)
            if option is None:
                if name == "-h":
                    raise HelpWanted
                raise _unknown(self.command, name, self.spelled, within=word)
            rest = word[at:]
            if len(rest) > 1 and rest[0] == "=":
                self.put(option, name, rest[1:], self.found)
                return
            if option.takes_value:
                self.put(option, name, rest or self.next_word(name), self.found)
                return
            self.put(option, name, "true" if option.kind == "flag" else option.optional_value, self.found)

    def next_word(self, name: str) -> str:
        if self.at >= len(self.words):
            raise Usage(f"option {name} needs a value", remedy=_see(self.command))
        self.at += 1
        return self.words[self.at - 1]

    def put(self, option: Option, name: str, text: str, into: dict[str, object]) -> None:
        if option.refuse and text not in option.choices:
            reason, _, remedy = option.refuse.partition("; ")
            raise Refused(f"option {name} cannot be used: {reason}", remedy=remedy or None)
        try:
            value = convert(option, text)
        except ValueError as cause:
            raise Usage(f"option {name}: {text!r} is {cause}", remedy=_see(self.command)) from None
        if option.kind == "list":
            held = into.get(option.key, ())
            assert isinstance(held, tuple)
            value = (*held, *value) if isinstance(value, list) else (*held, value)
        into[option.key] = value


def _see(command: Command) -> str:
    return f"see 'rpod {command.name} --help'" if command.name != "rpod" else "see 'rpod --help'"


def _unknown(command: Command, name: str, known: Sequence[str] | dict[str, Option], within: str = "") -> Usage:
    from rootless_pod.commands.nearest import nearest

    message = f"unknown option {name}" + (f" in {within}" if within not in ("", name) else "")
    guess = nearest(name, known) if name.startswith("--") else None
    return Usage(message, remedy=f"use {guess}, or {_see(command)}" if guess else _see(command))


def bind(command: Command, words: Sequence[str]) -> dict[str, object]:
    """Give the positional ``words`` to the command's arguments.

    Raises:
        Usage: a word is missing, or there is one too many.
    """
    bound: dict[str, object] = {}
    at = 0
    for argument in command.arguments:
        if argument.kind in ("many", "rest"):
            taken = tuple(words[at:])
            if argument.kind == "rest" and at and taken[:1] == ("--",):
                taken = taken[1:]
            if len(taken) < argument.least:
                raise _missing(command, argument)
            bound[argument.key] = taken
            at = len(words)
        elif at < len(words):
            bound[argument.key] = words[at]
            at += 1
        elif argument.kind == "one":
            raise _missing(command, argument)
        else:
            bound[argument.key] = None
    if at < len(words):
        raise Usage(f"one argument too many: {words[at]!r}", remedy=_see(command))
    return bound


def _missing(command: Command, argument: Argument) -> Usage:
    return Usage(f"missing argument {argument.name}", remedy=_see(command))


def parse(command: Command, argv: Sequence[str], *, persistent: Sequence[Option] = ()) -> Parsed:
    """Parse the words after the command's name; the long names of ``persistent`` options are known too.

    Raises:
        HelpWanted: ``--help`` (or ``-h``, where it has no other meaning) comes before any error.
        Usage: an unknown option, a bad or missing value, a missing or superfluous argument.
        Refused: an option that can't act here.
    """
    reader = _Reader(command, argv, persistent)
    reader.read()
    arguments = bind(command, reader.positional)
    values: dict[str, object] = {}
    for option in command.options:
        values.setdefault(option.key, option.initial)
    values.update(reader.found)
    return Parsed(values=values, arguments=arguments, given=frozenset(reader.found), persistent=reader.persistent)
