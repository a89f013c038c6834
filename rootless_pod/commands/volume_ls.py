"""``rpod volume ls``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Call, Command, flag, text, texts
from rootless_pod.errors import Usage

COMMAND = Command(
    name="ls",
    summary="List volumes",
    help="Lists the volumes that are here.",
    options=(
        texts("--filter", "Only volumes that fit KEY=VALUE", "-f", metavar="FILTER"),
        text("--format", "json, or a Go template", metavar="FORMAT"),
        flag("--noheading", "No column titles", "-n"),
        flag("--quiet", "Names only", "-q"),
    ),
    examples=("rpod volume ls", "rpod volume ls --filter dangling=true -q"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print the list."""
    from rootless_pod.commands.table import wants_json
    from rootless_pod.commands.template import pretty_json, print_rows
    from rootless_pod.commands.volume_rows import as_json, matching, with_state
    from rootless_pod.container.lookup import list_all
    from rootless_pod.container.usage import volumes_in_use
    from rootless_pod.volumes.volume import list_volumes

    form, quiet = call.text("format"), call.flag("quiet")
    if quiet and form:
        raise Usage("--quiet and --format can't be used together", remedy="give one of the two")
    found = matching(list_volumes(call.paths), call.texts("filter"), volumes_in_use(list_all(call.paths)))
    rows = [as_json(with_state(call.paths, one)) for one in found]
    if wants_json(form):
        sys.stdout.write(pretty_json(rows) + "\n")
    elif quiet:
        sys.stdout.write("".join(f"{row['Name']}\n" for row in rows))
    else:
        print_rows(
            form or "table {{.Driver}} {{.Name}}", rows, {"Name": "VOLUME NAME"}, noheading=call.flag("noheading")
        )
    return 0
