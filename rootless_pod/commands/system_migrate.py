"""``rpod system migrate``."""

from __future__ import annotations

import os

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Call, Command, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context

COMMAND = Command(
    name="migrate",
    summary="Use changed sub-ids: stop all containers and give up the user namespace",
    help=(
        "Stops all running containers and the process that holds your user namespace. The next command makes it anew, "
        "with the subordinate ids that /etc/subuid and /etc/subgid give you then. Prints the containers it stopped. "
        "Files that were made under other ids keep their owners: remove images and containers first if ranges move."
    ),
    options=(text("--new-runtime", "Start all existing containers with this OCI runtime from now on", metavar="NAME"),),
    examples=("rpod system migrate", "rpod system migrate --new-runtime crun"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Stop, end, forget."""
    from rootless_pod.container.migrate import change_runtime, check_runtime, migrate
    from rootless_pod.userns.enter import enter

    paths = call.paths
    paths.prepare()

    def entered() -> Context:
        return context_of(call.replace(places=paths, namespace=enter(paths)))

    runtime = call.text("new_runtime")
    if runtime:
        from rootless_pod.commands.configured import runtime_program

        runtime = runtime_program(runtime, call.globals.module)
        check_runtime(entered, runtime)
    for name in migrate(paths, entered):
        os.write(1, f"{name}\n".encode())
    if runtime:
        change_runtime(paths, runtime)
    return 0
