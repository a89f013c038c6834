"""``rpod container prune``."""

from __future__ import annotations

import sys

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, texts
from rootless_pod.commands.image_prune import FORCE
from rootless_pod.errors import NotFound, RpodError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context

_ARGUMENTS: tuple[Argument, ...] = ()
COMMAND = Command(
    name="prune",
    summary="Remove all containers that do not run",
    help="Prints the ids of those that went.",
    options=(
        texts("--filter", "Only what fits KEY=VALUE, such as until=TIME or label!=KEY", metavar="FILTER"),
        FORCE,
    ),
    arguments=_ARGUMENTS,
    examples=("rpod container prune", "rpod container prune -f --filter until=24h"),
)


def main(call: Call) -> int:
    """Ask, remove, print what went."""
    from rootless_pod.commands.confirm import confirmed
    from rootless_pod.commands.filters import matching

    conditions = call.texts("filter")
    matching([], conditions)  # a wrong filter is told before the question
    if not call.flag("force") and not confirmed("WARNING! This will remove all non running containers."):
        return 0
    removed, code = prune_containers(context_of(call), conditions)
    for container_id in removed:
        sys.stdout.write(f"{container_id}\n")
    return code


def prune_containers(context: Context, conditions: tuple[str, ...]) -> tuple[list[str], int]:
    """Remove the containers that neither run nor are paused and fit ``conditions``; return their ids and a code.

    Raises:
        Usage: an unknown filter.
    """
    from rootless_pod.commands.filters import matching
    from rootless_pod.commands.report import report
    from rootless_pod.container.dependents import dependents_first
    from rootless_pod.container.lookup import list_all
    from rootless_pod.container.remove import remove, sweep

    removed, code = [], 0
    found = matching(list_all(context.paths), conditions)
    stopped = [one.id for one in found if not (one.status.is_running or one.config.is_infra)]
    for one in [one for group in dependents_first(context.paths, stopped) for one in group]:
        try:
            remove(context, one)
        except NotFound:
            continue
        except RpodError as error:
            code = report(error)
        else:
            removed.append(one)
    sweep(context)
    return removed, code
