"""``rpod volume rm``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, Option, flag
from rootless_pod.errors import Conflict, NotFound, RpodError, Usage

COMMAND = Command(
    name="rm",
    summary="Remove volumes",
    help="Removes volumes and their content. Exit codes: 1 no such volume, 2 containers use it.",
    options=(
        flag("--all", "Remove every volume", "-a"),
        flag("--force", "Also remove the containers that use it, and say nothing of those that are not there", "-f"),
        Option(name="--time", short="-t", kind="int", help="Seconds to wait for containers to stop", metavar="SECONDS"),
    ),
    arguments=(Argument(name="VOLUME", kind="many", help="Volumes, by name", completes="volume"),),
    examples=("rpod volume rm data", "rpod volume rm -a -f"),
)
NOT_THERE, IN_USE = 1, 2


def main(call: Call) -> int:
    """Remove each volume and print its name."""
    from rootless_pod.volumes.volume import names

    words = call.many("volume")
    if bool(words) == call.flag("all"):
        raise Usage("give names or --all", remedy="see: rpod volume ls")
    code = 0
    for word in words or tuple(names(call.paths)):
        try:
            sys.stdout.write(f"{_remove(call, word)}\n")
            sys.stdout.flush()
        except RpodError as error:
            if isinstance(error, NotFound) and call.flag("force"):
                continue
            from rootless_pod.commands.report import report

            if isinstance(error, (NotFound, Conflict)):
                error.exit_code = NOT_THERE if isinstance(error, NotFound) else IN_USE
            code = max(code, report(error))
    return code


def _remove(call: Call, word: str) -> str:
    from rootless_pod.container.lookup import list_all
    from rootless_pod.container.usage import volumes_in_use
    from rootless_pod.volumes.volume import find, find_name, remove

    name = find_name(call.paths, word) if call.flag("force") else find(call.paths, word).name
    users = volumes_in_use(list_all(call.paths)).get(name, ())
    if users and call.flag("force"):
        from rootless_pod.commands.context import context_of
        from rootless_pod.container.remove import remove as remove_container

        for container_id in users:
            remove_container(context_of(call), container_id, force=True, timeout_seconds=call.number("time"))
        users = ()
    remove(call.paths, name, used_by=users)
    return name
