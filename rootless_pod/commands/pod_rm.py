"""``rpod pod rm``."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Call, Command, flag
from rootless_pod.commands.pod_selection import ALL, ID_FILE, IGNORE, LATEST, PODS, TIME, selected
from rootless_pod.commands.selection import for_each
from rootless_pod.errors import NotFound
from rootless_pod.state.pods import NO_SUCH_POD_EXIT_CODE

COMMAND = Command(
    name="rm",
    summary="Remove pods",
    help="Removes pods with all their containers. Exit code 1: no such pod.",
    options=(
        ALL,
        flag("--force", "Stop running containers first, and say nothing of pods that are not there", "-f"),
        IGNORE,
        LATEST,
        ID_FILE,
        TIME,
    ),
    arguments=(PODS,),
    examples=("rpod pod rm web", "rpod pod rm -f -a", "rpod pod rm -f -t 0 web"),
)


def main(call: Call) -> int:
    """Remove each pod named and print its id."""
    from rootless_pod.container.pod.remove import remove, sweep

    context, force = context_of(call), call.flag("force")
    if force:
        call = call.replace(values={**call.values, "ignore": True})
    try:
        ids = selected(call)
    except NotFound as error:
        if call.flag("latest") and force:
            return 0
        error.exit_code = NO_SUCH_POD_EXIT_CODE
        raise

    def take(pod_id: str) -> str | None:
        try:
            remove(context, pod_id, force=force, timeout_seconds=call.number("time"))
        except NotFound:
            if not call.values["ignore"]:
                raise
            return None
        return pod_id

    code = for_each(ids, take)
    if call.flag("all"):
        sweep(context.paths)
    return code
