"""``rpod secret ls``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Call, Command, flag, text, texts

COMMAND = Command(
    name="ls",
    summary="List secrets",
    help="Lists the secrets that are kept, the oldest first.",
    options=(
        texts("--filter", "Only secrets that fit name=EXPRESSION or id=ID", "-f", split=True, metavar="FILTER"),
        text("--format", "json, or a Go template", metavar="FORMAT"),
        flag("--noheading", "No column titles", "-n"),
        flag("--quiet", "Ids only", "-q"),
    ),
    examples=("rpod secret ls", "rpod secret ls --format '{{.Name}}'"),
    needs_userns=False,
)
_TABLE = "table {{.ID}} {{.Name}} {{.Driver}} {{.CreatedAt}} {{.UpdatedAt}}"
_HEADINGS = {"CreatedAt": "CREATED", "UpdatedAt": "UPDATED"}


def main(call: Call) -> int:
    """Print the list."""
    from rootless_pod.commands.secret_rows import matching, row
    from rootless_pod.commands.template import print_rows
    from rootless_pod.secrets.store import list_secrets

    rows = [row(one) for one in matching(list_secrets(call.paths), call.texts("filter"))]
    if call.flag("quiet") and not call.text("format"):
        sys.stdout.write("".join(f"{one['ID']}\n" for one in rows))
    else:
        print_rows(call.text("format") or _TABLE, rows, _HEADINGS, noheading=call.flag("noheading"))
    return 0
