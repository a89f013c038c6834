"""``rpod volume exists``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command

COMMAND = Command(
    name="exists",
    summary="Check if a volume exists",
    help="Exit code 0 if there is a volume of this name, 1 if not.",
    arguments=(Argument(name="VOLUME", help="Its name", completes="volume"),),
    examples=("rpod volume exists data && echo yes",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Say it with the exit code."""
    from rootless_pod.volumes.volume import exists

    return 0 if exists(call.paths, call.one("volume")) else 1
