"""``rpod volume mount``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.commands.image_mount import require_inside
from rootless_pod.errors import RpodError

COMMAND = Command(
    name="mount",
    summary="Mount volumes, inside rpod unshare",
    help=(
        "Mounts what a volume stands for (a plugin, an image, a file system) and prints where its files are; those of "
        "a plain volume are there anyway. Only a process inside the user's namespace sees the mount: start a shell "
        "with rpod unshare first."
    ),
    arguments=(Argument(name="VOLUME", kind="many", least=1, help="Volumes, by name", completes="volume"),),
    examples=("rpod unshare sh -c 'ls $(rpod volume mount base)'",),
)


def main(call: Call) -> int:
    """Mount each and print where."""
    from rootless_pod.state.events import emit
    from rootless_pod.volumes.mounted import BY_HAND, hold
    from rootless_pod.volumes.volume import find, is_driven

    require_inside("volume mount")
    code = 0
    for word in call.many("volume"):
        try:
            volume = find(call.paths, word)
            path = volume.path
            if is_driven(call.paths, volume.name):
                path = hold(call.paths, volume, BY_HAND)
                emit(call.paths, "volume", "mount", id="", name=volume.name)
        except RpodError as error:
            from rootless_pod.commands.report import report

            sys.stdout.flush()
            code = report(error)
            continue
        sys.stdout.write(f"{path}\n")
    return code
