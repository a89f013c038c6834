"""``rpod pod logs``: what the containers of a pod wrote."""

from __future__ import annotations

from rootless_pod.commands import logs
from rootless_pod.commands.declare import Argument, Call, Command, text
from rootless_pod.commands.pod_selection import LATEST
from rootless_pod.errors import NotFound, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.lookup import Container
    from rootless_pod.container.pod.lookup import Pod

COMMAND = Command(
    name="logs",
    summary="Show the logs of the containers of a pod",
    help="Puts the id of its container before each line where there are several.",
    options=(
        text("--container", "Only this container of the pod", "-c", metavar="NAME", completes="container"),
        LATEST,
        *(option for option in logs.COMMAND.options if option.name != "--latest"),
    ),
    arguments=(Argument(name="POD", kind="optional", help="Name or id"),),
    examples=("rpod pod logs web", "rpod pod logs -f --names web", "rpod pod logs -c server web"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print the lines of all containers, put together by time."""
    from rootless_pod.container.pod.lookup import find_id, latest, look

    name = call.one("pod")
    if bool(name) == call.flag("latest"):
        raise Usage("you must provide the name or id of one pod", remedy="give a name or an id, or --latest")
    pod = latest(call.paths) if call.flag("latest") else look(call.paths, find_id(call.paths, name))
    found = _chosen(pod, call.text("container"))
    return logs.print_logs(call, found)


def _chosen(pod: Pod, wanted: str) -> list[Container]:
    if not wanted:
        return list(pod.others)
    found = [one for one in pod.members if one.config.name == wanted]
    found = found or [one for one in pod.members if one.id.startswith(wanted)]
    if not found:
        raise NotFound(
            f"container {wanted} is not in pod {pod.config.name}",
            remedy=f"see who is: rpod ps -a --filter pod={pod.config.name}",
        )
    return found[:1]
