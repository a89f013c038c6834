"""``rpod artifact rm``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag
from rootless_pod.errors import RpodError, Usage

COMMAND = Command(
    name="rm",
    summary="Remove artifacts",
    help="Removes artifacts and prints their digests.",
    options=(
        flag("--all", "Remove every artifact", "-a"),
        flag("--ignore", "Say nothing of those that are not here", "-i"),
    ),
    arguments=(Argument(name="ARTIFACT", kind="many", help="Names or digests"),),
    examples=("rpod artifact rm registry.example.org/team/model:1",),
)


def main(call: Call) -> int:
    """Remove each and print the digests."""
    from rootless_pod.errors import NotFound
    from rootless_pod.image.artifact import find_artifact, list_artifacts
    from rootless_pod.image.remove import collect_garbage, remove_kept

    words, everything = call.many("artifact"), call.flag("all")
    if bool(words) == everything:
        raise Usage("give names or --all", remedy="see: rpod artifact ls")
    code, entries = 0, [one.entry for one in list_artifacts(call.paths)] if everything else []
    for word in words:
        try:
            entries.append(find_artifact(call.paths, word).entry)
        except RpodError as error:
            if isinstance(error, NotFound) and call.flag("ignore"):
                continue
            from rootless_pod.commands.report import report

            code = report(error)
    for entry in entries:
        remove_kept(call.paths, entry)
        sys.stdout.write(f"{entry.digest.removeprefix('sha256:')}\n")
    collect_garbage(call.paths)
    return code
