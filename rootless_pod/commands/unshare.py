"""``rpod unshare``: a shell, or one command, as root of the user's own namespace. HOT."""

from __future__ import annotations

import os

from rootless_pod.commands.declare import Argument, Call, Command, flag
from rootless_pod.errors import NotFound, Refused, RpodError

COMMAND = Command(
    name="unshare",
    summary="Run a command in your user namespace",
    help=(
        "Runs COMMAND, or $SHELL when none is given, in the user and mount namespace that holds your images "
        "and containers. There your sub-ids are ordinary ids: use it to look at or remove files of containers."
    ),
    options=(flag("--rootless-netns", "Run it in the network namespace that named networks lie in"),),
    arguments=(Argument(name="COMMAND", kind="rest", help="The command and its words"),),
    examples=("rpod unshare id", "rpod unshare cat /proc/self/uid_map", "rpod unshare rm -rf ./owned-by-sub-ids"),
    interspersed=False,
)


def main(call: Call) -> int:
    """Become the command, or run it in the shared network namespace and return its exit code.

    Raises:
        NotFound: there is no such program (exit code 127).
        Refused: it can't be executed (exit code 126).
    """
    from rootless_pod.userns.enter import leave_mark

    command = call.many("command") or (os.environ.get("SHELL") or "/bin/sh",)
    environment = leave_mark(dict(os.environ))
    environment["_CONTAINERS_USERNS_CONFIGURED"] = "done"
    environment["_CONTAINERS_ROOTLESS_UID"] = str(call.namespace.host_uid if call.namespace else os.getuid())
    environment["_CONTAINERS_ROOTLESS_GID"] = str(call.namespace.host_gid if call.namespace else os.getgid())
    environment["CONTAINERS_GRAPHROOT"] = call.paths.graphroot
    environment["CONTAINERS_RUNROOT"] = call.paths.runroot
    if call.flag("rootless_netns"):
        from rootless_pod.network.named import run_inside

        return run_inside(call.paths, lambda: _replaced(command, environment))
    return _become(command, environment)


def _replaced(command: tuple[str, ...], environment: dict[str, str]) -> int:
    """Become the command in a child, which says itself why it can't."""
    from rootless_pod.commands.report import report

    try:
        return _become(command, environment)
    except RpodError as error:
        return report(error)


def _become(command: tuple[str, ...], environment: dict[str, str]) -> int:
    """Replace this process by the command, so that signals and the exit code are its own."""
    try:
        os.execvpe(command[0], list(command), environment)
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise NotFound(
            f"no program {command[0]!r} in PATH",
            remedy="give a program that exists on this host, or an absolute path",
            exit_code=127,
        ) from cause
    except OSError as cause:
        raise Refused(
            f"cannot execute {command[0]!r}: {cause.strerror}",
            remedy=f"check that it is a program you may execute: ls -l {command[0]}",
            exit_code=126,
        ) from cause
