"""``rpod pod prune``."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Call, Command, flag
from rootless_pod.commands.selection import for_each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context

COMMAND = Command(
    name="prune",
    summary="Remove pods whose containers have all stopped",
    help="Removes stopped and exited pods with their containers; one that was never started stays.",
    options=(flag("--force", "Do not ask", "-f"),),
    examples=("rpod pod prune -f",),
)


def main(call: Call) -> int:
    """Ask, remove, print the ids of what went."""
    from rootless_pod.commands.confirm import confirmed

    if not call.flag("force") and not confirmed("WARNING! This will remove all stopped/exited pods.."):
        return 0
    return prune(context_of(call))


def stopped_pods(context: Context) -> list[str]:
    """Return the ids of the pods that ``pod prune`` removes."""
    from rootless_pod.container.pod.lookup import EXITED, STOPPED, list_all

    return [one.id for one in list_all(context.paths) if one.status in (STOPPED, EXITED)]


def prune(context: Context) -> int:
    """Remove what has stopped, and what killed commands left of pods; print the ids."""
    from rootless_pod.container.pod.remove import remove, sweep

    def take(pod_id: str) -> str:
        remove(context, pod_id)
        return pod_id

    code = for_each(stopped_pods(context), take)
    sweep(context.paths)
    return code
