"""``rpod help [COMMAND]``: the same text as ``--help``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command

COMMAND = Command(
    name="help",
    summary="Show the help of a command",
    arguments=(Argument(name="COMMAND", kind="many", help="The command's words", completes="command"),),
    examples=("rpod help run", "rpod help container ls"),
    needs_userns=False,
    configuration="none",
)


def main(call: Call) -> int:
    """Print the help of the command named, or of rpod itself."""
    from rootless_pod.commands.typer_app import show_help

    return show_help(call.many("command"))
