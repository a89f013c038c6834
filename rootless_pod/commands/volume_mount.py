"""``rpod volume mount``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.commands.image_mount import require_inside
from rootless_pod.commands.selection import for_each

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

    def act(word: str) -> str:
        volume = find(call.paths, word)
        if not is_driven(call.paths, volume.name):
            return volume.path
        path = hold(call.paths, volume, BY_HAND)
        emit(call.paths, "volume", "mount", id="", name=volume.name)
        return path

    return for_each(list(call.many("volume")), act)
