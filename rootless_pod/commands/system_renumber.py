"""``rpod system renumber``."""

from __future__ import annotations

import os

from rootless_pod.commands.declare import Call, Command

COMMAND = Command(
    name="renumber",
    summary="Do nothing: rpod's locks are files and have no numbers",
    help=(
        "podman gives each container, pod and volume one of a fixed number of locks, and this command deals them out "
        "anew. rpod locks a file in the object's own directory: there is nothing to number and no limit to change."
    ),
    needs_userns=False,
    configuration="none",
)


def main(call: Call) -> int:
    """Say why there is nothing to do."""
    from rootless_pod.state.events import emit

    emit(call.paths, "system", "renumber", id="")
    os.write(2, b"rpod locks a file in each object's directory: there are no lock numbers to renew\n")
    return 0
