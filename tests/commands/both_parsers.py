"""Reads one command line twice: with the hot parser and with typer, into the same shape."""

from __future__ import annotations

from rootless_pod.commands.parse import HelpWanted, parse
from rootless_pod.commands.typer_app import make_command
from rootless_pod.errors import RpodError

FAILED = "failed"
HELP = "help"


def with_rpod(command, words):
    try:
        parsed = parse(command, words)
    except RpodError:
        return FAILED
    except HelpWanted:
        return HELP
    return parsed.values, parsed.arguments


def with_typer(command, words):
    target = make_command(command, command.name)
    try:
        context = target.make_context(command.name, list(words))
    except Exception as error:
        if type(error).__name__ == "Exit":
            return HELP
        if hasattr(error, "exit_code"):
            return FAILED
        raise
    values = {}
    for option in command.options:
        held = context.params.get(option.key)
        if option.kind == "list":
            flat = [part for value in held or () for part in (value if isinstance(value, list) else [value])]
            values[option.key] = tuple(flat) or option.initial
        elif context.get_parameter_source(option.key).name == "DEFAULT":
            values[option.key] = option.initial
        else:
            values[option.key] = held
    arguments = {}
    for argument in command.arguments:
        held = context.params[f"argument_{argument.key}"]
        if argument.kind in ("many", "rest"):
            held = tuple(held or ())
        if argument.kind == "rest" and argument is not command.arguments[0] and held[:1] == ("--",):
            held = held[1:]
        arguments[argument.key] = held
    return values, arguments
