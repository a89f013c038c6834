"""``rpod network ls``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Call, Command, flag, text, texts

COMMAND = Command(
    name="ls",
    summary="List networks",
    help="Lists the networks that containers can be attached to by name.",
    options=(
        texts(
            "--filter",
            "Only networks that fit KEY=VALUE, such as name=EXPRESSION or dangling=true",
            "-f",
            metavar="FILTER",
        ),
        text("--format", "json, or a Go template", metavar="FORMAT"),
        flag("--no-trunc", "Whole ids"),
        flag("--noheading", "No column titles", "-n"),
        flag("--quiet", "Names only", "-q"),
    ),
    examples=("rpod network ls", "rpod network ls --filter dangling=true -q"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print the list; a network whose record is damaged is told on stderr."""
    from rootless_pod.commands.network_rows import LIST_KEYS, as_json, matching, row
    from rootless_pod.commands.report import report
    from rootless_pod.commands.table import wants_json
    from rootless_pod.commands.template import pretty_json, print_rows
    from rootless_pod.container.lookup import list_all
    from rootless_pod.container.usage import networks_in_use
    from rootless_pod.network.definitions import Networks

    networks, form, conditions = Networks(call.paths), call.text("format"), call.texts("filter")
    used = networks_in_use(list_all(call.paths)) if any(one.startswith("dangling") for one in conditions) else {}
    found = matching(networks.all(), conditions, keys=LIST_KEYS, used=used)
    if call.flag("quiet"):
        sys.stdout.write("".join(f"{one.name}\n" for one in found))
    elif wants_json(form):
        sys.stdout.write(pretty_json([as_json(one) for one in found]) + "\n")
    else:
        rows = [row(one, full_id=call.flag("no_trunc")) for one in found]
        shown = form or "table {{.ID}} {{.Name}} {{.Driver}}"
        print_rows(shown, rows, {"ID": "NETWORK ID"}, noheading=call.flag("noheading"))
    sys.stdout.flush()
    for fault in networks.damaged().values():
        report(fault)
    return 0
