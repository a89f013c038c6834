"""``rpod volume reload``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Call, Command

COMMAND = Command(
    name="reload",
    summary="Take over the volumes that plugins have",
    help=(
        "Asks every volume plugin of containers.conf what it has: volumes made there become known here, and those that "
        "are no more are forgotten."
    ),
    examples=("rpod volume reload",),
)


def main(call: Call) -> int:
    """Ask, and say what was added and removed."""
    from rootless_pod.commands.report import report
    from rootless_pod.container.lookup import list_all
    from rootless_pod.container.usage import volumes_in_use
    from rootless_pod.volumes.drivers import reload

    done = reload(call.paths, volumes_in_use(list_all(call.paths)))
    for title, names in (("Added", done.added), ("Removed", done.removed)):
        if names:
            sys.stdout.write("".join(f"{line}\n" for line in (f"{title}:", *names)))
    sys.stdout.flush()
    return max((report(error) for error in done.errors), default=0)
