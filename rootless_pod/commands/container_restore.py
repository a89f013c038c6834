"""``rpod container restore``: known, and refused with the reason."""

from __future__ import annotations

from rootless_pod.commands.container_checkpoint import RESTORE_OPTIONS, WHY
from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.errors import Refused

COMMAND = Command(
    name="restore",
    summary="Refused: restoring a checkpoint needs root",
    help=f"Podman has it for root alone: {WHY}.",
    options=RESTORE_OPTIONS,
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    needs_userns=False,
)


def main(_call: Call) -> int:
    """Refuse.

    Raises:
        Refused: always.
    """
    raise Refused(
        f"restoring a container requires root: {WHY}",
        remedy="start it anew: rpod start CONTAINER",
    )
