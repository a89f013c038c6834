"""``rpod volume unmount``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.commands.selection import for_each

COMMAND = Command(
    name="unmount",
    summary="Take back one rpod volume mount of volumes",
    help="Unmounts a volume, unless a container or another rpod volume mount uses it. Prints the names.",
    arguments=(Argument(name="VOLUME", kind="many", least=1, help="Volumes, by name", completes="volume"),),
    examples=("rpod unshare rpod volume unmount base",),
)


def main(call: Call) -> int:
    """Unmount each and print its name."""
    from rootless_pod.state.events import emit
    from rootless_pod.volumes.mounted import BY_HAND, let_go
    from rootless_pod.volumes.volume import find, is_driven

    def act(word: str) -> str:
        name = find(call.paths, word).name
        if is_driven(call.paths, name):
            let_go(call.paths, name, BY_HAND)
            emit(call.paths, "volume", "unmount", id="", name=name)
        return name

    return for_each(list(call.many("volume")), act)
