"""``rpod stats``: what running containers use, once or again and again."""

from __future__ import annotations

import sys
import time

from rootless_pod.commands.declare import Argument, Call, Command, Option, flag, text
from rootless_pod.commands.humanize import binary_size, size
from rootless_pod.commands.selection import LATEST
from rootless_pod.commands.times import go_duration
from rootless_pod.container import lookup
from rootless_pod.errors import NotFound, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from rootless_pod.container.lookup import Container
    from rootless_pod.container.measure import Measured

COMMAND = Command(
    name="stats",
    summary="Display a live stream of container resource usage statistics",
    help=(
        "Of all running containers, or of those named. A container's cgroup counts; what no controller counts is "
        "summed over its living processes. The first look gives the mean since the start, each later one what passed "
        "since."
    ),
    options=(
        flag("--all", "Also containers that do not run", "-a"),
        text("--format", "json, or a Go template", metavar="FORMAT"),
        Option(name="--interval", short="-i", kind="int", default=5, metavar="SECONDS", help="Between two looks"),
        LATEST,
        flag("--no-reset", "Do not clear the screen between looks"),
        flag("--no-stream", "Look once"),
        flag("--no-trunc", "Print whole ids"),
    ),
    arguments=(Argument(name="CONTAINERS", kind="many", help="Names or ids", completes="container"),),
    examples=("rpod stats --no-stream", "rpod stats --format '{{.Name}} {{.CPUPerc}}' web"),
)
HEADERS = {
    "ID": "ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemUsageBytes": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET IO",
    "BlockIO": "BLOCK IO",
    "PIDS": "PIDS",
    "UpTime": "CPU TIME",
    "AVGCPU": "AVG CPU %",
}
COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDS", "UpTime", "AVGCPU")
_SHOWN_ID = 12
_CLEAR = "\033[2J\033[H"


def main(call: Call) -> int:
    """Print one table, or one every interval until the user ends it or nothing named is left."""
    named = bool(call.many("containers"))
    if sum((named, call.flag("all"), call.flag("latest"))) > 1:
        raise Usage("--all, --latest and names can't go together", remedy="use one of them")
    interval = call.number("interval") or 0
    if interval < 1:
        raise Usage("--interval must be greater than 0", remedy="give a number of seconds")
    wanted = tuple(lookup.find_id(call.paths, word) for word in call.many("containers"))
    if call.flag("latest"):
        wanted = (lookup.latest(call.paths).id,)
    return follow(
        call,
        lambda: chosen(call, wanted, everything=call.flag("all")),
        interval=0 if call.flag("no_stream") else interval,
        ends=bool(wanted),
    )


def follow(call: Call, look: Callable[[], list[Container]], *, interval: int, ends: bool) -> int:
    """Print what ``look`` finds, every ``interval`` seconds (0: once); with ``ends`` stop when nothing is left."""
    from rootless_pod.container.measure import measure

    before: dict[str, Measured] = {}
    while True:
        found = [measure(one) for one in look()]
        if ends and before and not found:
            return 0
        if interval and not call.flag("no_reset") and not call.text("format"):
            sys.stdout.write(_CLEAR)
        rows = [row(one, before.get(one.id), whole=call.flag("no_trunc")) for one in found]
        print_stats(call.text("format"), rows)
        if not interval:
            return 0
        sys.stdout.flush()
        before = {one.id: one for one in found}
        time.sleep(interval)


def chosen(call: Call, wanted: Sequence[str], *, everything: bool) -> list[Container]:
    """Return the containers to look at now: those wanted that are still there, or the running ones; by id."""
    if not wanted:
        found = lookup.list_all(call.paths)
        return sorted((one for one in found if everything or one.status.is_running), key=lambda one: one.id)
    still = []
    for container_id in wanted:
        try:
            still.append(lookup.read(call.paths, container_id))
        except NotFound:
            continue
    return sorted(still, key=lambda one: one.id)


def print_stats(form: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as a table or as ``form`` says."""
    if form == "json":
        sys.stdout.write(_json_text([_json(one) for one in rows]))
        return
    if form:
        from rootless_pod.commands.template import print_rows

        print_rows(form, rows, HEADERS)
        return
    from rootless_pod.commands.table import print_table

    print_table([HEADERS[column] for column in COLUMNS], [[str(one[column]) for column in COLUMNS] for one in rows])


def row(usage: Measured, before: Measured | None, *, whole: bool) -> dict[str, Any]:
    """Return every field a template may name: podman's words, then its numbers."""
    percent, mean = usage.cpu_percent(before), usage.cpu_percent(None)
    return {
        "ID": usage.id if whole else usage.id[:_SHOWN_ID],
        "Name": usage.name,
        "CPUPerc": f"{percent:.2f}%",
        "MemUsage": f"{_short(usage.memory_bytes)} / {_short(usage.memory_limit)}",
        "MemUsageBytes": f"{binary_size(usage.memory_bytes)} / {binary_size(usage.memory_limit)}",
        "MemPerc": f"{usage.memory_percent:.2f}%",
        "NetIO": f"{_short(usage.network_in)} / {_short(usage.network_out)}",
        "BlockIO": f"{_short(usage.block_in)} / {_short(usage.block_out)}",
        "PIDS": str(usage.pids),
        "UpTime": go_duration(usage.cpu_ns),
        "AVGCPU": f"{mean:.2f}%",
        "AvgCPU": mean,
        "ContainerID": usage.id,
        "PerCPU": None,
        "CPU": percent,
        "CPUNano": usage.cpu_ns,
        "CPUSystemNano": 0,
        "SystemNano": usage.at_ns,
        "MemLimit": usage.memory_limit,
        "NetInput": usage.network_in,
        "NetOutput": usage.network_out,
        "BlockInput": usage.block_in,
        "BlockOutput": usage.block_out,
        "Duration": usage.cpu_ns,
    }


def _short(size_bytes: int) -> str:
    return size(size_bytes, digits=4, blank=False)


def _json_text(rows: list[dict[str, str]]) -> str:
    """Return the rows as podman prints them here: one blank a level, keys in their order."""
    from rootless_pod.commands.template_print import go_json

    objects = (
        " {\n" + ",\n".join(f"  {go_json(key)}: {go_json(value)}" for key, value in one.items()) + "\n }"
        for one in rows
    )
    return "[\n" + ",\n".join(objects) + "\n]\n" if rows else "[]\n"


def _json(one: dict[str, Any]) -> dict[str, str]:
    return {
        "id": one["ID"],
        "name": one["Name"],
        "cpu_time": one["UpTime"],
        "cpu_percent": one["CPUPerc"],
        "avg_cpu": one["AVGCPU"],
        "mem_usage": one["MemUsage"],
        "mem_percent": one["MemPerc"],
        "net_io": one["NetIO"],
        "block_io": one["BlockIO"],
        "pids": one["PIDS"],
    }
