"""The same declarations as a typer application: rich help and shell completion.

Imported only for ``--help`` and while the shell asks for completions: typer costs some 100 ms. Where it is not
installed (a bare checkout), help is printed plainly. Works with typer 0.26 to 0.28, which vendor click.
"""

from __future__ import annotations

import os
import sys

from rootless_pod.commands import index, parse
from rootless_pod.commands.globals import RPOD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

    from rootless_pod.commands.declare import Argument, Command, Option

PROGRAM = "rpod"
PANELS = (
    (
        "Containers",
        """attach commit create cp diff events exec export init inspect kill logs mount pause port ps rename restart rm
        run start stats stop top unmount unpause update wait""",
    ),
    ("Images", "copy history images import load pull push rmi save search tag untag"),
    ("Registries", "login logout"),
    ("Groups", " ".join(index.GROUPS)),
)
_METAVARS = {"int": "NUMBER", "uint": "NUMBER", "float": "NUMBER", "size": "SIZE", "duration": "DURATION"}


def panel_of(word: str) -> str:
    """Return the heading a top-level command stands under."""
    return next((panel for panel, words in PANELS if word in words.split()), "rpod itself")


def _panel_order(word: str, group: str) -> int:
    order = [panel for panel, _ in PANELS]
    return 0 if group or panel_of(word) not in order else order.index(panel_of(word)) + 1


def load_command(words: str) -> Command:
    """Import and return the declaration of a command in ``index.COMMANDS``."""
    name = f"rootless_pod.commands.{index.COMMANDS[words][0]}"
    __import__(name)
    command: Command = sys.modules[name].COMMAND
    return command


def _completion(what: str | None, choices: tuple[str, ...]) -> Callable[..., list[str]] | None:
    if choices:
        return lambda _context, _words, incomplete: [choice for choice in choices if choice.startswith(incomplete)]
    if what in (None, "file", "directory"):
        return None  # the shell completes file names by itself

    def complete_names(context: Any, _words: list[str], incomplete: str) -> list[str]:
        from rootless_pod.commands.candidates import candidates

        outer = context.find_root().params
        return candidates(str(what), incomplete, root=outer.get("root"), runroot=outer.get("runroot"))

    return complete_names


def _checked(option: Option) -> Callable[[str], object]:
    def value(text: str) -> object:
        return parse.convert(option, text)

    value.__name__ = option.kind
    return value


def make_option(option: Option) -> TyperOption:
    """Build typer's option; its value has the name ``option.key`` and no default (the declaration keeps it)."""
    from rich.markup import escape
    from typer.core import TyperOption

    spelled = [option.key, option.name, *option.aliases, *([option.short] if option.short else [])]
    more: dict[str, Any] = {
        "help": escape(option.help_with_default),
        "hidden": not option.shown,
        "rich_help_panel": option.group,
    }
    if option.kind == "flag":
        return TyperOption(param_decls=spelled, is_flag=True, **more)
    return TyperOption(
        param_decls=spelled,
        type=_checked(option),
        multiple=option.kind == "list",
        metavar=option.metavar or "|".join(option.choices) or _METAVARS.get(option.kind, "TEXT"),
        autocompletion=_completion(option.completes, option.choices),
        show_default=False,
        **more,
    )


def make_argument(argument: Argument) -> TyperArgument:
    """Build typer's argument, named ``argument_KEY``."""
    from rich.markup import escape
    from typer.core import TyperArgument

    several = argument.kind in ("many", "rest")
    required = argument.kind == "one" or argument.least > 0
    shown = argument.name if required else f"[{argument.name}]"
    return TyperArgument(
        param_decls=[f"argument_{argument.key}"],
        type=str,
        nargs=-1 if several else 1,
        required=required,
        metavar=f"{shown}..." if several else shown,
        help=escape(argument.help),
        show_default=False,
        autocompletion=_completion(argument.completes, ()),
    )


def make_command(command: Command, name: str, panel: str | None = None) -> TyperCommand:
    """Build typer's command from a declaration."""
    from rich.markup import escape
    from typer.core import TyperCommand

    text = command.help or f"{command.summary}."
    return TyperCommand(
        name=name,
        params=[*map(make_argument, command.arguments), *map(make_option, command.options)],
        help=escape(text),
        short_help=escape(command.summary),
        epilog="\n\n".join(["[bold]Examples[/bold]", *map(escape, command.examples)]) if command.examples else None,
        # With no word behind the name, typer would leave out the line of the usage.
        options_metavar="[OPTIONS]" if command.options or not command.arguments else "",
        context_settings={
            "allow_interspersed_args": command.interspersed,
            "help_option_names": ["--help"] if _takes_h(command) else ["--help", "-h"],
        },
        rich_help_panel=panel,
        rich_markup_mode="rich",
    )


def _takes_h(command: Command) -> bool:
    return any(option.short == "-h" for option in command.options)


def _lazy_command(words: str, name: str, panel: str | None = None) -> TyperCommand:
    """Return a command that imports its module only when its own words are read."""
    from typer.core import TyperCommand

    class LazyCommand(TyperCommand):
        def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
            full = make_command(load_command(words), name, panel)
            return full.make_context(info_name, args, parent, **extra)

    return LazyCommand(name=name, short_help=index.COMMANDS[words][1], rich_help_panel=panel, rich_markup_mode="rich")


def make_group(group: str = "") -> TyperGroup:
    """Build the group of ``group``'s commands ("" for rpod itself, with its groups)."""
    from rich.markup import escape
    from typer.core import TyperGroup

    commands: dict[str, Any] = {}
    for word, words in index.within(group).items():
        if group or word == words:
            commands[word] = _lazy_command(words, word, None if group else panel_of(word))
    for name, path in index.groups_within(group).items():
        commands[name] = make_group(path)
        if not group:
            commands[name].rich_help_panel = "Groups"
    summary = index.GROUPS[group] if group else RPOD.summary
    return TyperGroup(
        name=group.rpartition(" ")[2] or PROGRAM,
        commands={
            name: commands[name] for name in sorted(commands, key=lambda name: (_panel_order(name, group), name))
        },
        params=[] if group else [make_option(option) for option in RPOD.options],
        help=escape(f"{summary}."),
        short_help=escape(summary),
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["--help", "-h"]},
        options_metavar="" if group else "[OPTIONS]",
    )


def _typer_is_here() -> bool:
    try:
        __import__("rich.markup")
        __import__("typer.core")
    except ImportError:
        return False
    return True


def show_help(words: Sequence[str]) -> int:
    """Print the help of the command, group or program that ``words`` begin with.

    Raises:
        Usage: there is no such command.
    """
    from rootless_pod.commands.lookup import find_command

    plain = [word for word in words if not word.startswith("-")]
    group = " ".join(plain) if " ".join(plain) in index.GROUPS else ""
    found = find_command(plain)[0] if plain and not group else ""
    if not _typer_is_here():
        from rootless_pod.commands.plain_help import command_help, group_help

        print(command_help(load_command(found), found) if found else group_help(group), end="")
        return 0
    target: Any = make_command(load_command(found), found.rpartition(" ")[2]) if found else make_group(group)
    path = " ".join(part for part in (PROGRAM, found or group) if part)
    with target.context_class(target, info_name=path, **target.context_settings) as context:
        target.format_help(context, context.make_formatter())
    return 0


def complete(argv: Sequence[str]) -> int:
    """Answer the shell's question in ``_RPOD_COMPLETE`` on stdout; return the exit code."""
    try:
        from typer.completion import completion_init  # type: ignore[attr-defined]
    except ImportError:
        return 1
    # An answer is a line; typer breaks a long help text at the width of a terminal: its other half would be an answer.
    os.environ["COLUMNS"] = "10000"
    completion_init()
    try:
        make_group().main(args=list(argv), prog_name=PROGRAM, complete_var="_RPOD_COMPLETE")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
