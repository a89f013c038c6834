"""``rpod rmi``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag
from rootless_pod.errors import NotFound, RpodError, Usage

COMMAND = Command(
    name="rmi",
    summary="Remove images from local storage",
    help=(
        "Takes a name from an image; with its last name, or by id, the image goes and with it what only it needed. "
        "Exit codes: 1 no such image, 2 containers use it."
    ),
    options=(
        flag("--all", "Remove all images", "-a"),
        flag(
            "--force",
            "Also remove images with several names, and the containers that use them; say nothing of missing ones",
            "-f",
        ),
        flag("--ignore", "Say nothing of images that are not there", "-i"),
        flag("--no-prune", "Keep layers and blobs that nothing refers to any more"),
    ),
    arguments=(Argument(name="IMAGE", kind="many", help="Images, by name or id", completes="image"),),
    examples=("rpod rmi app:old", "rpod rmi -a -f"),
)


def main(call: Call) -> int:
    """Remove each image named, then what nothing refers to."""
    from rootless_pod.image.remove import collect_garbage, remove_broken

    names, everything = call.many("image"), call.flag("all")
    if everything and names:
        raise Usage("--all can't go with names", remedy="give names or --all")
    if not everything and not names:
        raise Usage("no image named", remedy="give a name or an id, or --all")
    if everything:
        from rootless_pod.image.lookup import list_images

        names = tuple(image.id for image in list_images(call.paths))
    code = 0
    for name in names:
        code = max(code, _remove(call, name, force=call.flag("force") or everything))
    if everything:
        for broken in remove_broken(call.paths):
            sys.stdout.write(f"Deleted: {broken}\n")
    if not call.flag("no_prune"):
        collect_garbage(call.paths)
    return code


def _remove(call: Call, name: str, *, force: bool) -> int:
    """Remove one image and print what went; return the exit code."""
    from rootless_pod.image.remove import remove_image

    try:
        if call.flag("force"):
            _remove_containers(call, name)
        removal = remove_image(call.paths, name, force=force)
    except NotFound as missing:
        if call.flag("ignore") or call.flag("force"):
            return 0
        missing.exit_code = 1
        return _report(missing)
    except RpodError as error:
        return _report(error)
    for one in removal.untagged:
        sys.stdout.write(f"Untagged: {one}\n")
    for one in removal.deleted:
        sys.stdout.write(f"Deleted: {one}\n")
    return 0


def _report(error: RpodError) -> int:
    from rootless_pod.commands.report import report

    sys.stdout.flush()
    return report(error)


def _remove_containers(call: Call, name: str) -> None:
    """Remove the containers of an image that is about to go (not those of one that only loses a name)."""
    from rootless_pod.image.lookup import lookup_named
    from rootless_pod.image.remove import containers_of

    image, found = lookup_named(call.paths, name)
    if image.is_host or (found is not None and len(image.names) > 1):
        return
    users = containers_of(call.paths, image.id)
    if not users:
        return
    from rootless_pod.commands.context import context_of
    from rootless_pod.container.dependents import dependents_first
    from rootless_pod.container.remove import remove

    context = context_of(call)
    for group in dependents_first(call.paths, users):
        for container_id in group:
            remove(context, container_id, force=True)
