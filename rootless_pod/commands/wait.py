"""``rpod wait``: until containers have ended; their exit codes."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, Option, texts
from rootless_pod.commands.selection import LATEST, for_each, selected

CONDITIONS = (
    "configured",
    "created",
    "exited",
    "healthy",
    "initialized",
    "paused",
    "removing",
    "running",
    "stopped",
    "stopping",
    "unhealthy",
)

COMMAND = Command(
    name="wait",
    summary="Wait until containers stop",
    help="Waits for each container in turn and prints its exit code (or -1, for a condition other than its end).",
    options=(
        texts("--condition", "What to wait for (default stopped)", split=True, choices=CONDITIONS, metavar="STATE"),
        Option(
            name="--interval",
            short="-i",
            kind="duration",
            default="250ms",
            metavar="TIME",
            help="How often to look, for a condition other than the end (default 250ms)",
        ),
        LATEST,
    ),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    examples=("rpod wait job", "rpod wait --condition running web"),
)


def main(call: Call) -> int:
    """Wait for each container and print the exit code a line."""
    from rootless_pod.commands.quantity import parse_duration
    from rootless_pod.container.wait import wait_for

    context = context_of(call)
    interval = parse_duration(call.text("interval")) / 1e9
    conditions = frozenset(call.texts("condition"))
    return for_each(
        selected(call), lambda one: str(wait_for(context, one, conditions=conditions, interval_seconds=interval))
    )
