"""``rpod secret rm``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag
from rootless_pod.errors import Corrupt, NotFound, RpodError, Usage

COMMAND = Command(
    name="rm",
    summary="Remove secrets",
    help="Removes secrets and their data. Containers that run keep theirs; they can't be started with it again.",
    options=(
        flag("--all", "Remove all secrets", "-a"),
        flag("--ignore", "Say nothing of secrets that are not there", "-i"),
    ),
    arguments=(Argument(name="SECRET", kind="many", help="Secrets, by name or id"),),
    examples=("rpod secret rm key", "rpod secret rm -a"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Remove each secret and print its id."""
    from rootless_pod.secrets.store import names_of_all, sweep

    words = call.many("secret")
    if bool(words) == call.flag("all"):
        raise Usage("give names or --all", remedy="see: rpod secret ls")
    code = 0
    for word in words or names_of_all(call.paths):
        try:
            sys.stdout.write(f"{_remove(call, word)}\n")
            sys.stdout.flush()
        except RpodError as error:
            if isinstance(error, NotFound) and call.flag("ignore"):
                continue
            from rootless_pod.commands.report import report

            code = report(error)
    if call.flag("all"):
        sweep(call.paths)
    return code


def _remove(call: Call, word: str) -> str:
    from rootless_pod.secrets.store import find, forget_damaged, remove

    try:
        secret = find(call.paths, word)
    except Corrupt:
        return forget_damaged(call.paths, word)
    remove(call.paths, secret)
    return secret.id
