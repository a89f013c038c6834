"""``rpod cp``: files between the host and containers, or between containers."""

from __future__ import annotations

import os

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command, Option, flag
from rootless_pod.errors import Usage

COMMAND = Command(
    name="cp",
    summary="Copy files between a container and the host",
    help=(
        "Copies a file or directory from SOURCE to TARGET. Each is PATH on the host or CONTAINER:PATH; the container "
        "may run or not. SOURCE - reads a tar archive from stdin, TARGET - writes one to stdout. A directory is copied "
        "below an existing directory under its own name, DIR/. copies its content. Begin a host path that has a colon "
        "with ./"
    ),
    options=(
        Option(
            name="--archive",
            short="-a",
            kind="flag",
            default=True,
            help="Files copied into a container belong to its user; false keeps their owners",
        ),
        flag("--overwrite", "Let a directory replace a file, and a file a directory"),
        flag("--pause", "Accepted for compatibility: a container goes on while files are copied", hidden=True),
    ),
    arguments=(
        Argument(name="SOURCE", help="[CONTAINER:]PATH or -", completes="container"),
        Argument(name="TARGET", help="[CONTAINER:]PATH or -", completes="container"),
    ),
    examples=(
        "rpod cp app.conf web:/etc/app.conf",
        "rpod cp web:/var/log/. ./logs",
        "rpod cp web:/etc - | tar -t",
        "tar -c src | rpod cp - web:/work",
    ),
)


def main(call: Call) -> int:
    """Copy.

    Raises:
        Usage: an archive would go to, or come from, a terminal.
    """
    from rootless_pod.container.copy import CopyRequest, check, copy, parse_place

    request = CopyRequest(
        source=parse_place(call.one("source")),
        target=parse_place(call.one("target")),
        archive=call.flag("archive"),
        overwrite=call.flag("overwrite"),
    )
    check(request)
    if request.target.is_stream and os.isatty(1):
        raise Usage("refusing to write an archive to the terminal", remedy="redirect it: rpod cp … - > FILE.tar")
    if request.source.is_stream and os.isatty(0):
        raise Usage("an archive is read from stdin, which is a terminal", remedy="feed it one: rpod cp - … < FILE.tar")
    copy(context_of(call), request)
    return 0
