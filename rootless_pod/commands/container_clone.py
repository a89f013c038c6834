"""``rpod container clone``."""

from __future__ import annotations

import sys

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, flag, text
from rootless_pod.commands.old_limits import OF_V1, warn_of
from rootless_pod.commands.update import LIMITS
from rootless_pod.errors import Usage

COMMAND = Command(
    name="clone",
    summary="Clone an existing container",
    help=(
        "Makes a container with all that another one was made with, under another name (NAME-clone), and if you like "
        "with another image or other limits. Files that changed in the other one are not copied: rpod commit keeps "
        "them."
    ),
    options=(
        *LIMITS,
        flag("--destroy", "Remove the original container afterwards"),
        flag("--force", "With --destroy: though it runs", "-f"),
        text("--name", "Name of the new container", metavar="NAME"),
        text("--pod", "Make it a part of this pod", metavar="POD"),
        flag("--run", "Start the new container"),
    ),
    arguments=(
        Argument(name="CONTAINER", help="Name or id", completes="container"),
        Argument(name="NAME", kind="optional", help="The new name"),
        Argument(name="IMAGE", kind="optional", help="Another image", completes="image"),
    ),
    examples=("rpod container clone web web2", "rpod container clone --memory 1g --run web"),
)
_OWN = frozenset({"destroy", "force", "name", "pod", "run"})


def main(call: Call) -> int:
    """Create the clone and print its id."""
    from rootless_pod.container.clone import CloneRequest, begin, clone, destroy
    from rootless_pod.container.lookup import find_id

    if call.flag("force") and not call.flag("destroy"):
        raise Usage("--force goes with --destroy alone", remedy="leave out --force")
    warn_of(call)
    context = context_of(call)
    original = find_id(call.paths, call.one("container"))
    wanted = CloneRequest(
        name=call.text("name") or call.one("name"),
        image=call.one("image"),
        pod=call.text("pod"),
        limits={key: call.values[key] for key in call.given if key not in _OWN and key not in OF_V1},
        create_command=("rpod", *sys.argv[1:]),
    )
    made = clone(context, original, wanted)
    if call.flag("destroy"):
        destroy(context, original, force=call.flag("force"))
    if call.flag("run"):
        begin(context, made)
    sys.stdout.write(f"{made.id}\n")
    return 0
