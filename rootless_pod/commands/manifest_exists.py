"""``rpod manifest exists``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command

COMMAND = Command(
    name="exists",
    summary="Check if a manifest list exists",
    help="Exit code 0 if there is a list of this name in the store, 1 if not.",
    arguments=(Argument(name="LIST", help="Its name", completes="image"),),
    examples=("rpod manifest exists app:1 && echo yes",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Say it with the exit code."""
    from rootless_pod.image.lookup import find_kept

    kept = find_kept(call.paths, call.one("list"))
    return 0 if kept is not None and kept.is_list else 1
