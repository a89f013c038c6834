"""``rpod image mount``."""

from __future__ import annotations

import os
import sys

from rootless_pod.commands.declare import Argument, Call, Command, Option, flag
from rootless_pod.errors import Refused, RpodError, Usage

COMMAND = Command(
    name="mount",
    summary="Mount images read-only, inside rpod unshare",
    help=(
        "Shows an image's files at a path that it prints; without a name, lists what is mounted. Only a process "
        "inside the user's namespace sees the mount: start a shell with rpod unshare first."
    ),
    options=(
        flag("--all", "Mount every image", "-a"),
        Option(name="--format", help="json, or nothing", metavar="FORMAT", default="", choices=("json", "")),
    ),
    arguments=(Argument(name="IMAGE", kind="many", help="Images, by name or id", completes="image"),),
    examples=("rpod unshare sh -c 'ls $(rpod image mount app)'",),
)
_INSIDE = "_CONTAINERS_USERNS_CONFIGURED"


def require_inside(command: str) -> None:
    """Refuse outside of ``rpod unshare``: the mount would be seen by nobody.

    Raises:
        Refused: always there. Source: the words of podman 4.3.1.
    """
    if not os.environ.get(_INSIDE) and os.environ.get("_CONTAINERS_ROOTLESS_UID", "") != "0":
        raise Refused(
            f'cannot run command "rpod {command}" in rootless mode, must execute `rpod unshare` first',
            remedy=f"run: rpod unshare rpod {command}",
        )


def main(call: Call) -> int:
    """Mount and print the paths, or list."""
    from rootless_pod.image.acquire import acquire
    from rootless_pod.image.lookup import list_images
    from rootless_pod.image.mounts import mount_image
    from rootless_pod.state.events import emit

    require_inside("image mount")
    words, everything = call.many("image"), call.flag("all")
    if words and everything:
        raise Usage("--all can't go with names", remedy="give names or --all")
    if not words and not everything:
        return _list(call)
    if everything:
        words = tuple(image.id for image in list_images(call.paths))
    single_id = call.namespace is not None and call.namespace.single_id
    code = 0
    for word in words:
        try:
            image = acquire(call.paths, word, pull_policy="never", single_id=single_id)
            path = mount_image(call.paths, image, call.globals.storage_driver)
        except RpodError as error:
            from rootless_pod.commands.report import report

            sys.stdout.flush()
            code = report(error)
            continue
        emit(call.paths, "image", "mount", id=image.id, name=word)
        sys.stdout.write(f"{image.id} {path}\n" if len(words) > 1 or everything else f"{path}\n")
    return code


def _list(call: Call) -> int:
    from rootless_pod.image.lookup import lookup
    from rootless_pod.image.mounts import mounted_images

    rows = []
    for mounted in mounted_images(call.paths):
        try:
            names = list(lookup(call.paths, mounted.image_id).names)
        except RpodError:
            names = []
        rows.append((mounted, names))
    if call.text("format") == "json":
        from rootless_pod.commands.template import pretty_json

        found = [
            {"id": one.image_id, "Names": names, "Repositories": names, "mountpoint": one.path} for one, names in rows
        ]
        sys.stdout.write(pretty_json(found) + "\n")
        return 0
    for one, names in rows:
        sys.stdout.write(f"{names[0] if names else one.image_id[:12]}  {one.path}\n")
    return 0
