"""``rpod unmount``."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, flag
from rootless_pod.commands.selection import ALL, LATEST, for_each, selected, shown

COMMAND = Command(
    name="unmount",
    summary="Unmount a container's root file system",
    help="Takes back one rpod mount; with the last one of a container it is unmounted. One that runs stays as it is.",
    options=(ALL, flag("--force", "Unmount however often it was mounted", "-f"), LATEST),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    examples=("rpod unshare rpod unmount web",),
)


def main(call: Call) -> int:
    """Unmount each container named and print how it was named."""
    from rootless_pod.container.mounts import SHOWN, unmount_container

    context, force = context_of(call), call.flag("force") or call.flag("all")

    def take_back(container_id: str) -> str:
        unmount_container(context, container_id, force=force)
        return shown(call, container_id)

    return for_each(selected(call, among=lambda one: bool(one.state.get(SHOWN)) and not one.status.is_made), take_back)
