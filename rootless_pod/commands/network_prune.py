"""``rpod network prune``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Call, Command, flag, texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.network.definition import Network
    from rootless_pod.paths import Paths

COMMAND = Command(
    name="prune",
    summary="Remove networks that no container uses",
    help="Removes every network that no container uses, running or not, and prints their names.",
    options=(
        texts("--filter", "Only networks that fit KEY=VALUE: label=, label!=, until=", metavar="FILTER"),
        flag("--force", "Do not ask", "-f"),
    ),
    examples=("rpod network prune -f", "rpod network prune --filter until=24h"),
)


def main(call: Call) -> int:
    """Ask, remove, print the names."""
    from rootless_pod.commands.confirm import confirmed

    conditions = call.texts("filter")
    unused(call.paths, conditions=conditions)  # a wrong filter is told before the question
    if not call.flag("force") and not confirmed(
        "WARNING! This will remove all networks not used by at least one container."
    ):
        return 0
    for name in prune_networks(call.paths, conditions=conditions):
        sys.stdout.write(f"{name}\n")
    return 0


def unused(paths: Paths, *, conditions: tuple[str, ...]) -> list[Network]:
    """Return the networks that no container uses and that fit (raises Usage on an unknown filter)."""
    from rootless_pod.commands.network_rows import PRUNE_KEYS, matching
    from rootless_pod.container.lookup import list_all
    from rootless_pod.container.usage import networks_in_use
    from rootless_pod.network.definitions import DEFAULT_NAME, Networks

    used = networks_in_use(list_all(paths))
    fitting = matching(Networks(paths).all(), conditions, keys=PRUNE_KEYS)
    return [one for one in fitting if one.name not in used and one.name != DEFAULT_NAME]


def prune_networks(paths: Paths, *, conditions: tuple[str, ...]) -> list[str]:
    """Remove unused networks and return their names."""
    from rootless_pod.network.definitions import Networks

    going = [one.name for one in unused(paths, conditions=conditions)]
    for name in going:
        Networks(paths).remove(name)
    return going
