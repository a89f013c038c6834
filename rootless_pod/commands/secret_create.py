"""``rpod secret create``."""

from __future__ import annotations

import os
import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag, text, texts
from rootless_pod.errors import NotFound, Usage

COMMAND = Command(
    name="create",
    summary="Create a secret",
    help=(
        "Keeps the content of a file (-: standard input; with --env: of a variable) for containers started with "
        "--secret NAME. It is readable by you alone, less than 512000 bytes, and never part of an image."
    ),
    options=(
        text("--driver", "Where it is kept: file, pass or shell", "-d", default="file", metavar="DRIVER"),
        texts("--driver-opts", "Option of the driver", split=True, metavar="KEY=VALUE"),
        flag("--env", "FILE is the name of a variable that holds it"),
        texts("--label", "Set a label", "-l", metavar="KEY=VALUE"),
        flag("--replace", "Replace a secret of this name"),
    ),
    arguments=(
        Argument(name="NAME", help="Its name"),
        Argument(name="FILE", help="The file that holds it, or -", completes="file"),
    ),
    examples=("rpod secret create key ~/.ssh/id_ed25519", "printf s3cret | rpod secret create password -"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Keep it and print its id."""
    from rootless_pod.secrets.store import check_name, create

    name = check_name(call.one("name"))
    options = dict(_pair(word, "--driver-opts") for word in call.texts("driver_opts"))
    labels = dict(word.partition("=")[::2] for word in call.texts("label"))
    data = _from_variable(call.one("file")) if call.flag("env") else _from_file(call.one("file"))
    secret = create(
        call.paths,
        name,
        data,
        driver=call.text("driver"),
        options=options,
        labels=labels,
        replace=call.flag("replace"),
    )
    sys.stdout.write(f"{secret.id}\n")
    return 0


def _pair(word: str, option: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise Usage(f"{option} {word!r} has no value", remedy=f"write {option} KEY=VALUE")
    return key, value


def _from_variable(name: str) -> bytes:
    value = os.environb.get(name.encode())
    if value is None:
        raise NotFound(f"environment variable {name} is not set", exit_code=125)
    return value


def _from_file(path: str) -> bytes:
    """Read a little more than fits, so that a file that is too large is found to be, and no disk is read for it."""
    from rootless_pod.secrets.store import LARGEST_BYTES

    if path == "-" and os.isatty(0):
        raise Usage("standard input is a terminal", remedy="redirect: rpod secret create NAME - < FILE")
    try:
        with os.fdopen(os.dup(0), "rb") if path in ("-", "/dev/stdin") else open(path, "rb") as file:
            return file.read(LARGEST_BYTES + 1)
    except OSError as cause:
        raise NotFound(f"cannot read {path}: {cause.strerror}", remedy="check the path", exit_code=125) from cause
