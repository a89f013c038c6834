"""``rpod image prune``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag, texts
from rootless_pod.errors import Conflict, NotFound, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.paths import Paths

FORCE = flag("--force", "Do not ask", "-f")
FILTER = texts("--filter", "Only what fits until=TIME, label=KEY[=VALUE] or label!=KEY[=VALUE]", metavar="FILTER")
_ARGUMENTS: tuple[Argument, ...] = ()
COMMAND = Command(
    name="prune",
    summary="Remove unused images",
    help=(
        "Removes images without a name that no container uses, and what only they needed; with --all every image that "
        "no container uses. Prints the ids."
    ),
    options=(
        flag("--all", "Also images that have a name", "-a"),
        flag(
            "--external", "Also images that containers of other programs stand on (none can: the store is ours alone)"
        ),
        FILTER,
        FORCE,
    ),
    arguments=_ARGUMENTS,
    examples=("rpod image prune", "rpod image prune -a -f --filter until=240h"),
)


def main(call: Call) -> int:
    """Ask, remove, print what went."""
    from rootless_pod.commands.confirm import confirmed

    everything = call.flag("all")
    kinds = "images without at least one container associated with them" if everything else "dangling images"
    if not call.flag("force") and not confirmed(f"WARNING! This command removes all {kinds}."):
        return 0
    for image_id in prune_images(call.paths, everything=everything, conditions=call.texts("filter")):
        sys.stdout.write(f"{image_id}\n")
    return 0


def prune_images(paths: Paths, *, everything: bool, conditions: tuple[str, ...]) -> list[str]:
    """Remove unused images and what nothing refers to any more; return their ids.

    Raises:
        Usage: an unknown filter.
    """
    from rootless_pod.commands.image_rows import is_intermediate, matching
    from rootless_pod.image.lookup import list_images
    from rootless_pod.image.remove import collect_garbage, containers_of, remove_broken, remove_image

    positive, negative = split_conditions(conditions)
    removed: list[str] = []
    while True:
        images = list(list_images(paths))
        fitting = matching(paths, images, positive)
        for condition in negative:
            unwanted = {one.id for one in matching(paths, images, (condition,))}
            fitting = [one for one in fitting if one.id not in unwanted]
        going = [
            one
            for one in fitting
            if (everything or (not one.names and not is_intermediate(one, images))) and not containers_of(paths, one.id)
        ]
        before = len(removed)
        for image in going:
            try:
                removed += remove_image(paths, image.id, force=True).deleted
            except (NotFound, Conflict):
                continue  # removed or taken into use meanwhile
        # A parent without a name is dangling once its child is gone.
        if len(removed) == before:
            break
    if everything and not conditions:
        remove_broken(paths)
    collect_garbage(paths)
    return removed


def split_conditions(conditions: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the filters that say what goes, and those (``label!=``) that say what stays, as ``label=``.

    Raises:
        Usage: a key that can't be meant here.
    """
    positive, negative = [], []
    for condition in conditions:
        key, separator, value = condition.partition("=")
        if key == "label!" and separator:
            negative.append(f"label={value}")
        elif key in ("label", "until", "dangling") and separator:
            positive.append(condition)
        else:
            raise Usage(f"--filter {condition!r} is not known", remedy="use until=TIME, label=KEY=VALUE or label!=KEY")
    return tuple(positive), tuple(negative)
