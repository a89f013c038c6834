"""``rpod system prune``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Call, Command, flag
from rootless_pod.commands.image_prune import FILTER, FORCE
from rootless_pod.errors import RpodError, Usage

COMMAND = Command(
    name="prune",
    summary="Remove what is not used: stopped containers, networks, images, volumes",
    help=(
        "Removes stopped containers, networks no container uses and images without a name; with --all every image no "
        "container uses; with --volumes the volumes no container uses as well. What killed commands left goes too."
    ),
    options=(
        flag("--all", "Also images that have a name", "-a"),
        flag("--build", "", hidden=True, refuse="rpod builds no images and leaves no build containers; leave it out"),
        flag("--external", "Only what killed commands left behind, and nothing that is listed"),
        FILTER,
        FORCE,
        flag("--volumes", "Also volumes that no container uses"),
    ),
    examples=("rpod system prune", "rpod system prune -a -f --volumes"),
)


def main(call: Call) -> int:
    """Ask, remove, print what went and how much it freed."""
    from rootless_pod.commands.confirm import confirmed
    from rootless_pod.commands.humanize import size
    from rootless_pod.commands.image_prune import prune_images, split_conditions

    if call.flag("external"):
        return _prune_leftovers(call)
    split_conditions(call.texts("filter"))
    if not call.flag("force") and not confirmed(_warning(call)):
        return 0
    before = _used_bytes(call)
    _print("Deleted Pods", _prune_pods(call))
    _print("Deleted Containers", _prune_containers(call))
    if call.flag("volumes"):
        _print("Deleted Volumes", _prune_volumes(call))
    _print("Deleted Images", prune_images(call.paths, everything=call.flag("all"), conditions=call.texts("filter")))
    _print("Deleted Networks", _prune_networks(call))
    freed = max(0, before - _used_bytes(call))
    sys.stdout.write(f"Total reclaimed space: {size(freed, digits=4, blank=False)}\n")
    return 0


def _prune_leftovers(call: Call) -> int:
    """Sweep what bears the id of nothing that is there.

    Raises:
        Usage: together with what chooses other things.
    """
    from rootless_pod.commands.context import context_of
    from rootless_pod.commands.humanize import size
    from rootless_pod.container.remove import sweep

    if call.given & {"all", "filter", "volumes"}:
        raise Usage("--external can't go with --all, --filter or --volumes", remedy="give it alone, or leave it out")
    before = _used_bytes(call)
    sweep(context_of(call))
    freed = max(0, before - _used_bytes(call))
    sys.stdout.write(f"Total reclaimed space: {size(freed, digits=4, blank=False)}\n")
    return 0


def _warning(call: Call) -> str:
    lines = ["WARNING! This command removes:", "\t- all stopped pods", "\t- all stopped containers"]
    lines.append("\t- all networks not used by at least one container")
    if call.flag("volumes"):
        lines.append("\t- all volumes not used by at least one container")
    if call.flag("all"):
        lines.append("\t- all images without at least one container associated with them")
    else:
        lines.append("\t- all dangling images")
    return "\n".join(lines) + "\n"


def _print(heading: str, rows: list[str]) -> None:
    if rows:
        sys.stdout.write("\n".join([heading, *rows]) + "\n")


def _used_bytes(call: Call) -> int:
    from rootless_pod.container.usage import size_of_tree

    return size_of_tree(call.paths.graphroot)


def _prune_pods(call: Call) -> list[str]:
    """Remove the pods that have stopped; not where a filter asks for some containers only."""
    from rootless_pod.commands.context import context_of
    from rootless_pod.commands.pod_prune import stopped_pods
    from rootless_pod.container.pod.remove import remove, sweep

    if call.texts("filter"):
        return []
    context, removed = context_of(call), []
    for pod_id in stopped_pods(context):
        try:
            remove(context, pod_id)
        except RpodError as error:
            from rootless_pod.commands.report import report

            report(error)
            continue
        removed.append(pod_id)
    sweep(context.paths)
    return removed


def _prune_containers(call: Call) -> list[str]:
    from rootless_pod.commands.container_prune import prune_containers
    from rootless_pod.commands.context import context_of

    return prune_containers(context_of(call), call.texts("filter"))[0]


def _prune_networks(call: Call) -> list[str]:
    from rootless_pod.commands.network_prune import prune_networks

    return prune_networks(call.paths, conditions=call.texts("filter"))


def _prune_volumes(call: Call) -> list[str]:
    from rootless_pod.commands.volume_prune import prune_volumes

    return prune_volumes(call.paths, everything=True, conditions=call.texts("filter"))
