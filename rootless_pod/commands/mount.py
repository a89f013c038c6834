"""``rpod mount``: the files of containers at a path, inside rpod unshare."""

from __future__ import annotations

import sys

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, Option, flag
from rootless_pod.commands.image_mount import require_inside
from rootless_pod.commands.selection import ALL, LATEST, for_each, selected

COMMAND = Command(
    name="mount",
    summary="Mount a container's root file system, inside rpod unshare",
    help=(
        "Prints the path where its files are; without a name, lists what is mounted. Only a process inside the user's "
        "namespace sees the mount: start a shell with rpod unshare first."
    ),
    options=(
        ALL,
        Option(name="--format", help="json, or nothing", metavar="FORMAT", default="", choices=("json", "")),
        LATEST,
        flag("--no-trunc", "Print whole ids"),
    ),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    examples=("rpod unshare sh -c 'ls $(rpod mount web)'",),
)
_SHOWN_ID = 12


def main(call: Call) -> int:
    """Mount and print the paths, or list."""
    from rootless_pod.container.mounts import mount_container

    require_inside("mount")
    context = context_of(call)
    if not (call.many("containers") or call.flag("all") or call.flag("latest")):
        return _list(call)
    return for_each(selected(call), lambda one: mount_container(context, one))


def _list(call: Call) -> int:
    from rootless_pod.container.mounts import mounted

    found = mounted(context_of(call))
    if call.text("format") == "json":
        from rootless_pod.commands.template_print import go_json

        objects = (
            f' {{\n  "id": {go_json(one.id)},\n  "Names": [\n   {go_json(one.config.name)}\n  ],\n'
            f'  "mountpoint": {go_json(path)}\n }}'
            for one, path in found
        )
        sys.stdout.write("[\n" + ",\n".join(objects) + "\n]\n" if found else "[]\n")
        return 0
    for one, path in found:
        sys.stdout.write(f"{one.id if call.flag('no_trunc') else one.id[:_SHOWN_ID]}  {path}\n")
    return 0
