"""``rpod manifest rm``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.errors import RpodError

COMMAND = Command(
    name="rm",
    summary="Remove manifest lists",
    help="Removes lists from the store; images that have a name of their own stay.",
    arguments=(Argument(name="LIST", kind="many", least=1, help="Names of lists", completes="image"),),
    examples=("rpod manifest rm app:1",),
)


def main(call: Call) -> int:
    """Remove each and print what went."""
    from rootless_pod.image.lists import read_list
    from rootless_pod.image.remove import collect_garbage, remove_kept

    code = 0
    for word in call.many("list"):
        try:
            removal = remove_kept(call.paths, read_list(call.paths, word)[0])
        except RpodError as error:
            from rootless_pod.commands.report import report

            sys.stdout.flush()
            code = report(error)
            continue
        for one in removal.untagged:
            sys.stdout.write(f"Untagged: {one}\n")
        for one in removal.deleted:
            sys.stdout.write(f"Deleted: {one}\n")
    collect_garbage(call.paths)
    return code
