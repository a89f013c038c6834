"""``rpod network inspect``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, text
from rootless_pod.errors import NotFound, RpodError

COMMAND = Command(
    name="inspect",
    summary="Display what is known of networks",
    help="Prints networks as JSON, or through a Go template; containers that have addresses in it are shown as well.",
    options=(text("--format", "json, or a Go template", "-f", metavar="FORMAT", default="json"),),
    arguments=(Argument(name="NETWORK", kind="many", least=1, help="Networks, by name or id", completes="network"),),
    examples=("rpod network inspect podman", "rpod network inspect -f '{{range .Subnets}}{{.Gateway}}{{end}}' backend"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print those that are found; say which are not."""
    from rootless_pod.commands.network_rows import for_template, inspected
    from rootless_pod.commands.report import report
    from rootless_pod.commands.table import wants_json
    from rootless_pod.commands.template import pretty_json, print_values
    from rootless_pod.network.definitions import Networks

    networks, found, code = Networks(call.paths), [], 0
    faults: list[RpodError] = []
    for word in call.many("network"):
        try:
            found.append(networks.find(word))
        except RpodError as error:
            faults.append(error)
    if wants_json(call.text("format") or "json"):
        sys.stdout.write(pretty_json([inspected(call.paths, one) for one in found]) + "\n")
    else:
        for one in found:
            print_values(call.text("format"), for_template(one))
    sys.stdout.flush()
    for fault in faults:
        if isinstance(fault, NotFound):
            fault.message = f"inspecting object: {fault.message}"
        code = report(fault)
    return code
