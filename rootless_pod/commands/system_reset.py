"""``rpod system reset``."""

from __future__ import annotations

import os

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Call, Command, flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.paths import Paths

COMMAND = Command(
    name="reset",
    summary="Delete all containers, pods, images, networks and volumes, and everything else rpod keeps",
    help=(
        "Ends all containers and deletes the store and the runtime directory. Only directories with rpod's marker "
        "are touched, and in them only what rpod makes: never your home directory, never a mount point, never what a "
        "symbolic link leads to. It works where records are damaged and no runtime is installed."
    ),
    options=(flag("--force", "Do not ask", "-f"),),
    examples=("rpod system reset", "rpod --root /scratch/me/rpod system reset -f"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Ask, end, delete; say what was left because it is not rpod's."""
    from rootless_pod.commands.confirm import confirmed
    from rootless_pod.container.reset import check_roots, reset
    from rootless_pod.userns.enter import enter

    paths = call.paths
    roots = check_roots(paths)
    if not call.flag("force") and not confirmed(_warning(paths)):
        return 0

    def entered() -> Context:
        return context_of(call.replace(places=paths, namespace=enter(paths)))

    for path in reset(paths, roots, entered):
        os.write(2, f"{path} is kept: rpod did not make it\n".encode(errors="backslashreplace"))
    return 0


def _warning(paths: Paths) -> str:
    return (
        "WARNING! This will remove:\n"
        "\t- all containers\n\t- all pods\n\t- all images\n\t- all networks\n\t- all volumes\n\t- all secrets\n"
        f"\t- the graphRoot directory: {paths.graphroot!r}\n"
        f"\t- the runRoot directory: {paths.runroot!r}"
    )
