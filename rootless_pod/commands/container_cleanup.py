"""``rpod container cleanup``: what the monitor calls when a container has ended; anybody may. HOT."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, flag, text
from rootless_pod.commands.selection import ALL, LATEST, for_each, selected, shown
from rootless_pod.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context

COMMAND = Command(
    name="cleanup",
    summary="Clean up what a stopped container left behind",
    help="Takes down mounts and network of containers that have ended. The monitor runs it; it does no harm by hand.",
    options=(
        ALL,
        LATEST,
        flag(
            "--restart", "Start it if its restart policy says so: what waits for the back-off calls this", hidden=True
        ),
        flag("--unhealthy", "Do what --health-on-failure says: what watches the health calls this", hidden=True),
        text(
            "--exec",
            "Forget this exec session of the one container named, if it has ended",
            dest="session",
            metavar="ID",
        ),
        flag("--rm", "Also remove the container"),
        flag("--rmi", "Also remove its image"),
    ),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    examples=("rpod container cleanup --all",),
    configuration="store",
)


def main(call: Call) -> int:
    """Settle each container named; one that is gone is fine."""
    from rootless_pod.container.cleanup import cleanup, restart
    from rootless_pod.container.lookup import read
    from rootless_pod.errors import RpodError

    context = context_of(call)
    if call.text("session"):
        return _forget_session(call, context)

    def settle(container_id: str) -> str:
        if call.flag("restart"):
            restart(context, container_id)
            return shown(call, container_id)
        if call.flag("unhealthy"):
            from rootless_pod.container.health_action import act

            act(context, container_id)
            return shown(call, container_id)
        image = ""
        if call.flag("rmi"):
            config = read(context.paths, container_id).config
            image = config.image_name or config.image_id
        cleanup(context, container_id, remove=call.flag("rm"))
        if image:
            from rootless_pod.image.remove import remove_image

            try:
                remove_image(context.paths, image)
            except RpodError:
                return container_id
        return shown(call, container_id)

    return for_each(selected(call.replace(values={**call.values, "ignore": True})), settle)


def _forget_session(call: Call, context: Context) -> int:
    from rootless_pod.container.sessions import forget_session

    ids = selected(call)
    if len(ids) != 1 or call.flag("rm") or call.flag("rmi"):
        raise Usage("--exec takes one container, and neither --rm nor --rmi", remedy="name the session's container")
    forget_session(context, ids[0], call.text("session"))
    return 0
