"""``rpod update``: other limits for a container that exists."""

from __future__ import annotations

import sys

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, text
from rootless_pod.commands.old_limits import OF_V1, refuse
from rootless_pod.commands.run_options_limits import RESOURCES

_NAMES = (
    "--blkio-weight", "--blkio-weight-device", "--cpu-period", "--cpu-quota", "--cpu-rt-period", "--cpu-rt-runtime",
    "--cpu-shares", "--cpus", "--cpuset-cpus", "--cpuset-mems", "--device-read-bps", "--device-read-iops",
    "--device-write-bps", "--device-write-iops", "--memory", "--memory-reservation", "--memory-swap",
    "--memory-swappiness", "--pids-limit",
)  # fmt: skip
LIMITS = tuple(one for one in RESOURCES if one.name in _NAMES)
COMMAND = Command(
    name="update",
    summary="Update the limits of a container",
    help=(
        "A running container has the new limits at once; they hold for every later start too. One that does not run "
        "gets them when it is started."
    ),
    options=(
        *LIMITS,
        text("--restart", "Restart policy: no, always, on-failure[:N], unless-stopped", default=None, metavar="POLICY"),
    ),
    arguments=(Argument(name="CONTAINER", help="Name or id", completes="container"),),
    examples=("rpod update --memory 512m --cpus 2 web",),
)


def main(call: Call) -> int:
    """Update it and print its id."""
    from rootless_pod.container.lookup import find_id
    from rootless_pod.container.update import update

    container_id = find_id(call.paths, call.one("container"))
    refuse(call)
    changes = {key: call.values[key] for key in call.given if key != "restart" and key not in OF_V1}
    restart = call.text("restart") if "restart" in call.given else None
    if changes or restart is not None:
        update(context_of(call), container_id, changes, restart=restart)
    sys.stdout.write(f"{container_id}\n")
    return 0
