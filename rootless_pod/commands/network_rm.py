"""``rpod network rm``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, Option, flag
from rootless_pod.errors import Conflict, NotFound, RpodError

COMMAND = Command(
    name="rm",
    summary="Remove networks",
    help="Removes networks. Exit codes: 1 no such network, 2 containers use it.",
    options=(
        flag("--force", "Also remove the containers and pods that use it, and say nothing of those not there", "-f"),
        Option(name="--time", short="-t", kind="int", help="Seconds to wait for containers to stop", metavar="SECONDS"),
    ),
    arguments=(Argument(name="NETWORK", kind="many", least=1, help="Networks, by name or id", completes="network"),),
    examples=("rpod network rm backend", "rpod network rm -f backend frontend"),
)
NOT_THERE, IN_USE = 1, 2


def main(call: Call) -> int:
    """Remove each network and print what was given for it."""
    from rootless_pod.commands.report import report

    code = 0
    for word in call.many("network"):
        try:
            _remove(call, word)
        except RpodError as error:
            if isinstance(error, NotFound):
                if call.flag("force"):
                    continue
                error.exit_code = NOT_THERE
            code = max(code, report(error))
        else:
            sys.stdout.write(f"{word}\n")
            sys.stdout.flush()
    return code


def _remove(call: Call, word: str) -> None:
    from rootless_pod.container.lookup import list_all
    from rootless_pod.container.usage import networks_in_use
    from rootless_pod.network.definitions import Networks

    networks = Networks(call.paths)
    name = networks.find_name(word)
    networks.check_removable(name)
    users = networks_in_use(list_all(call.paths)).get(name, ())
    if users and not call.flag("force"):
        raise Conflict(
            f'"{word}" has associated containers with it. Use -f to forcibly delete containers and pods: '
            "network is being used",
            remedy=f"see who uses it: rpod ps -a --filter network={name}",
            exit_code=IN_USE,
        )
    for container_id in users:
        _remove_user(call, container_id)
    networks.remove(name)


def _remove_user(call: Call, container_id: str) -> None:
    """Remove a container, or the pod that it holds together; gone already is fine."""
    from rootless_pod.commands.context import context_of
    from rootless_pod.container.lookup import read
    from rootless_pod.container.pod.remove import remove as remove_pod
    from rootless_pod.container.remove import remove

    context, seconds = context_of(call), call.number("time")
    try:
        config = read(call.paths, container_id).config
        if config.is_infra:
            remove_pod(context, config.pod_id, force=True, timeout_seconds=seconds)
        else:
            remove(context, container_id, force=True, timeout_seconds=seconds)
    except NotFound:
        pass
