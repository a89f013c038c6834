"""``rpod secret exists``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.errors import NotFound

COMMAND = Command(
    name="exists",
    summary="Check if a secret exists",
    help="Exits with 0 if there is such a secret, with 1 if there is none.",
    arguments=(Argument(name="SECRET", help="A secret, by name or id"),),
    examples=("rpod secret exists key || rpod secret create key FILE",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Look for it."""
    from rootless_pod.secrets.store import find

    try:
        find(call.paths, call.one("secret"))
    except NotFound:
        return 1
    return 0
