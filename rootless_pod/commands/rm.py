"""``rpod rm``. HOT."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, flag, texts
from rootless_pod.commands.selection import ALL, CIDFILE, IGNORE, LATEST, for_each, selected, shown
from rootless_pod.commands.stop import TIME
from rootless_pod.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context

COMMAND = Command(
    name="rm",
    summary="Remove containers",
    help="Removes containers with all they wrote, except to volumes. Exit codes: 1 no such container, 2 it runs.",
    options=(
        ALL,
        CIDFILE,
        flag("--depend", "Also remove the containers that need it (--requires, shared namespaces)"),
        texts("--filter", "Only containers that fit KEY=VALUE", metavar="FILTER"),
        flag("--force", "Stop running containers first, and say nothing of those that are not there", "-f"),
        IGNORE,
        LATEST,
        TIME,
        flag("--volumes", "Also remove the anonymous volumes made for it", "-v"),
    ),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    examples=("rpod rm job", "rpod rm -f -a", "rpod rm -f -t 0 web"),
)
NOT_THERE_EXIT_CODE = 1


def main(call: Call) -> int:
    """Remove each container named and print how it was named."""
    from rootless_pod.container.dependents import dependents_first
    from rootless_pod.container.remove import HoldsPod, remove, sweep

    context, force = context_of(call), call.flag("force")
    if force:
        call = call.replace(values={**call.values, "ignore": True})
    try:
        ids = selected(call, damaged=True)
    except NotFound as error:
        error.exit_code = NOT_THERE_EXIT_CODE
        raise
    words = {one: shown(call, one) for one in ids}
    groups = dependents_first(context.paths, ids, add_missing=call.flag("depend"))
    if call.flag("depend"):
        words = {}

    def take(container_id: str) -> str | None:
        try:
            remove(
                context,
                container_id,
                force=force,
                volumes=call.flag("volumes"),
                timeout_seconds=call.number("time"),
            )
        except HoldsPod:
            if not (force and call.flag("all")):
                raise
            _remove_pod_of(context, container_id, call.number("time"))
        except NotFound:
            if not call.values["ignore"]:
                raise
            return None
        return words.get(container_id, container_id)

    code = 0
    for group in groups:
        code = for_each(group, take, at_once=True) or code
    if call.flag("all"):
        sweep(context, force=force)
    return code


def _remove_pod_of(context: Context, infra_id: str, seconds: int | None) -> None:
    """Remove the pod that an infra container holds, as ``rm --all --force`` removes everything."""
    from rootless_pod.container.lookup import read
    from rootless_pod.container.pod.remove import remove

    try:
        remove(context, read(context.paths, infra_id).config.pod_id, force=True, timeout_seconds=seconds)
    except NotFound:
        return
