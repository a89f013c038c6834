"""``rpod volume prune``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Call, Command, flag, texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.paths import Paths
    from rootless_pod.volumes.volume import Volume

COMMAND = Command(
    name="prune",
    summary="Remove volumes that no container uses",
    help="Removes every volume that no container uses, running or not, and prints their names.",
    options=(
        texts("--filter", "Only volumes that fit KEY=VALUE", metavar="FILTER"),
        flag("--force", "Do not ask", "-f"),
    ),
    examples=("rpod volume prune -f", "rpod volume prune --filter label=scratch"),
)


def main(call: Call) -> int:
    """Ask, remove, print the names."""
    from rootless_pod.commands.confirm import confirmed

    conditions = call.texts("filter")
    if not call.flag("force"):
        going = unused(call.paths, conditions=conditions)
        listed = "".join(f"\n{one.name}" for one in going)
        warning = (
            "WARNING! This will remove all volumes not used by at least one container. "
            f"The following volumes will be removed:{listed}"
        )
        if not going or not confirmed(warning):
            return 0
    for name in prune_volumes(call.paths, everything=True, conditions=conditions):
        sys.stdout.write(f"{name}\n")
    return 0


def unused(paths: Paths, *, conditions: tuple[str, ...]) -> list[Volume]:
    """Return the volumes that no container uses and that fit (raises Usage on an unknown filter)."""
    from rootless_pod.commands.volume_rows import matching
    from rootless_pod.container.lookup import list_all
    from rootless_pod.container.usage import volumes_in_use
    from rootless_pod.volumes.volume import list_volumes

    users = volumes_in_use(list_all(paths))
    return [one for one in matching(list_volumes(paths), conditions, users) if one.name not in users]


def prune_volumes(paths: Paths, *, everything: bool, conditions: tuple[str, ...]) -> list[str]:
    """Remove unused volumes (``everything``: named ones too) and return their names."""
    from rootless_pod.state.events import emit
    from rootless_pod.volumes.volume import remove, sweep

    removed = []
    for one in unused(paths, conditions=conditions):
        if everything or one.anonymous:
            remove(paths, one.name)
            emit(paths, "volume", "prune", id="", name=one.name)
            removed.append(one.name)
    sweep(paths)
    return removed
