"""``rpod pod stats``: what the containers of pods use, once or again and again."""

from __future__ import annotations

import sys
import time

from rootless_pod.commands import stats
from rootless_pod.commands.declare import Call, Command, flag, text
from rootless_pod.commands.pod_selection import LATEST, PODS
from rootless_pod.container.pod import lookup
from rootless_pod.errors import NotFound, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.lookup import Container
    from rootless_pod.container.measure import Measured
    from rootless_pod.container.pod.lookup import Pod

COMMAND = Command(
    name="stats",
    summary="Display a live stream of resource usage of the containers of pods",
    help="Of all running pods, or of those named. The numbers are those of rpod stats.",
    options=(
        flag("--all", "Also pods that do not run", "-a"),
        text("--format", "json, or a Go template", metavar="FORMAT"),
        LATEST,
        flag("--no-reset", "Do not clear the screen between looks"),
        flag("--no-stream", "Look once"),
    ),
    arguments=(PODS,),
    examples=("rpod pod stats --no-stream", "rpod pod stats --format '{{.Name}} {{.MemUsage}}' web"),
)
HEADERS = {
    "Pod": "POD",
    "CID": "CID",
    "Name": "NAME",
    "CPU": "CPU %",
    "MemUsage": "MEM USAGE/ LIMIT",
    "MemUsageBytes": "MEM USAGE/ LIMIT",
    "Mem": "MEM %",
    "NetIO": "NET IO",
    "BlockIO": "BLOCK IO",
    "PIDS": "PIDS",
}
_COLUMNS = ("Pod", "CID", "Name", "CPU", "MemUsage", "Mem", "NetIO", "BlockIO", "PIDS")
_JSON = ("CPU", "MemUsage", "MemUsageBytes", "Mem", "NetIO", "BlockIO", "PIDS", "Pod", "CID", "Name")
_INTERVAL_SECONDS = 5
_SHOWN_ID = 12
_CLEAR = "\033[2J\033[H"


def main(call: Call) -> int:
    """Print one table, or one every five seconds until the user ends it or no pod named is left."""
    words = call.many("pods")
    if sum((bool(words), call.flag("all"), call.flag("latest"))) > 1:
        raise Usage("--all, --latest and pods cannot be used together", remedy="use one of them")
    wanted = [lookup.find_id(call.paths, word) for word in words]
    if call.flag("latest"):
        wanted = [lookup.latest(call.paths).id]
    before: dict[str, Measured] = {}
    while True:
        found = _look(call, wanted)
        if before and wanted and not found:
            return 0
        if not call.flag("no_stream") and not call.flag("no_reset") and not call.text("format"):
            sys.stdout.write(_CLEAR)
        before = _print(call, found, before)
        if call.flag("no_stream"):
            return 0
        sys.stdout.flush()
        time.sleep(_INTERVAL_SECONDS)


def _look(call: Call, wanted: list[str]) -> list[Pod]:
    if not wanted:
        return [one for one in lookup.list_all(call.paths) if call.flag("all") or one.is_running]
    found = []
    for pod_id in wanted:
        try:
            found.append(lookup.look(call.paths, pod_id))
        except NotFound:
            continue
    return found


def _print(call: Call, found: list[Pod], before: dict[str, Measured]) -> dict[str, Measured]:
    from rootless_pod.container.measure import measure

    measured: dict[str, Measured] = {}
    rows = []
    for pod in found:
        for member in pod.members:
            if member.status.is_running:
                measured[member.id] = measure(member)
            rows.append(row(pod, member, measured.get(member.id), before.get(member.id)))
    form = call.text("format")
    if form == "json":
        from rootless_pod.commands.template import pretty_json

        sys.stdout.write(pretty_json([{key: one[key] for key in _JSON} for one in rows]) + "\n")
    elif form:
        from rootless_pod.commands.template import print_rows

        print_rows(form, rows, HEADERS)
    else:
        from rootless_pod.commands.table import print_table

        print_table(
            [HEADERS[column] for column in _COLUMNS], [[str(one[column]) for column in _COLUMNS] for one in rows]
        )
    return measured


def row(pod: Pod, member: Container, now: Measured | None, before: Measured | None) -> dict[str, Any]:
    """Return what podman shows of one container; of one that does not run, dashes."""
    shown = {"Pod": pod.id[:_SHOWN_ID], "CID": member.id[:_SHOWN_ID], "Name": member.config.name}
    if now is None:
        pair = "-- / --"
        usage = {"MemUsage": pair, "MemUsageBytes": pair, "NetIO": pair, "BlockIO": pair}
        return {**shown, **usage, "CPU": "--", "Mem": "--", "PIDS": "--"}
    words = stats.row(now, before, whole=False)
    same = ("MemUsage", "MemUsageBytes", "NetIO", "BlockIO", "PIDS")
    return {**shown, **{key: words[key] for key in same}, "CPU": words["CPUPerc"], "Mem": words["MemPerc"]}
