"""Help as plain text in podman's layout, where typer is not installed."""

from __future__ import annotations

from rootless_pod.commands import index
from rootless_pod.commands.globals import GLOBAL_OPTIONS, RPOD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless_pod.commands.declare import Command, Option


def _option_row(option: Option) -> tuple[str, str]:
    short = f"{option.short}, " if option.short else "    "
    value = "" if option.kind == "flag" else f" {option.metavar or '|'.join(option.choices) or option.kind}"
    return f"{short}{option.name}{value}", option.help_with_default


def _columns(rows: Sequence[tuple[str, str]]) -> str:
    width = max((len(left) for left, _ in rows if len(left) <= 34), default=0)
    return "".join(f"  {left:<{width}}  {right}\n" for left, right in rows)


def _options(options: Sequence[Option]) -> str:
    groups: dict[str, list[tuple[str, str]]] = {}
    for option in options:
        if option.shown:
            groups.setdefault(option.group, []).append(_option_row(option))
    return "".join(
        f"\n{group if group == 'Options' else group + ' options'}:\n{_columns(rows)}" for group, rows in groups.items()
    )


def _usage(command: Command, words: str) -> str:
    shown = []
    for argument in command.arguments:
        name = f"{argument.name}..." if argument.kind in ("many", "rest") else argument.name
        shown.append(name if argument.kind == "one" or argument.least else f"[{name}]")
    return " ".join(["rpod", words, *(["[options]"] if command.options else []), *shown])


def command_help(command: Command, words: str) -> str:
    """Return the help of one command."""
    text = f"{command.summary}\n\nUsage:\n  {_usage(command, words)}\n"
    if command.help:
        text = f"{command.summary}\n\nDescription:\n  {command.help}\n\nUsage:\n  {_usage(command, words)}\n"
    if command.examples:
        text += "\nExamples:\n" + "".join(f"  {line}\n" for line in command.examples)
    return text + _options(command.options)


def group_help(group: str) -> str:
    """Return the help of a group of commands, "" for rpod itself."""
    rows = [(word, index.COMMANDS[words][1]) for word, words in index.within(group).items() if group or word == words]
    rows = sorted([*rows, *((word, index.GROUPS[path]) for word, path in index.groups_within(group).items())])
    summary = index.GROUPS[group] if group else RPOD.summary
    path = f"rpod {group}" if group else "rpod [options]"
    return f"{summary}\n\nUsage:\n  {path} COMMAND\n\nCommands:\n{_columns(rows)}" + (
        "" if group else _options(GLOBAL_OPTIONS)
    )
