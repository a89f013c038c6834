"""``rpod pod inspect``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Call, Command, text
from rootless_pod.commands.pod_selection import LATEST, PODS
from rootless_pod.errors import NotFound, RpodError, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.pod.lookup import Pod

COMMAND = Command(
    name="inspect",
    summary="Display the configuration of pods",
    help="Prints a JSON object for each pod.",
    options=(text("--format", "json, or a Go template", "-f", default="json", metavar="FORMAT"), LATEST),
    arguments=(PODS,),
    examples=("rpod pod inspect web", "rpod pod inspect --format '{{.State}}' web"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print what is found; the names not found are told afterwards, with exit code 125."""
    from rootless_pod.commands.template import print_values
    from rootless_pod.container.pod.inspect import inspect
    from rootless_pod.container.pod.lookup import find_id, latest, look

    names = call.many("pods")
    if not names and not call.flag("latest"):
        raise Usage("you must provide the name or id of a running pod", remedy="give a name or an id, or --latest")
    found: list[Pod] = []
    missing: list[RpodError] = []
    if call.flag("latest"):
        found.append(latest(call.paths))
    for name in names:
        try:
            found.append(look(call.paths, find_id(call.paths, name)))
        except NotFound as error:
            missing.append(error)
    if not found and missing and call.text("format") == "json":
        sys.stdout.write("[]\n")
    for pod in found:
        print_values(call.text("format"), inspect(call.paths, pod))
    return _tell(missing)


def _tell(missing: list[RpodError]) -> int:
    from rootless_pod.commands.report import report

    sys.stdout.flush()
    for one in missing:
        report(one)
    return 125 if missing else 0
