"""``rpod container inspect``: containers only, whatever else has the name."""

from __future__ import annotations

from rootless_pod.commands import inspect
from rootless_pod.commands.declare import Call, Command

COMMAND = Command(
    name="inspect",
    summary="Display the configuration of containers",
    help="Prints a JSON list with one object for each container.",
    options=tuple(one for one in inspect.COMMAND.options if one.name != "--type"),
    arguments=inspect.COMMAND.arguments,
    examples=("rpod container inspect web",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print what is found; the names not found are told afterwards, with exit code 125."""
    return inspect.main(call.replace(values={**call.values, "type": "container"}))
