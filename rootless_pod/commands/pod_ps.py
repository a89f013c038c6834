"""``rpod pod ps``: the list of pods."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Call, Command, flag, text, texts
from rootless_pod.commands.pod_selection import LATEST
from rootless_pod.commands.table import print_table
from rootless_pod.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.pod.lookup import Pod
    from rootless_pod.paths import Paths

_SHOWN_ID = 12
_SORTS = ("created", "id", "name", "number", "status")

HEADERS = {
    "ID": "POD ID",
    "Id": "POD ID",
    "InfraID": "INFRA ID",
    "InfraId": "INFRA ID",
    "NumberOfContainers": "# OF CONTAINERS",
    "ContainerIds": "IDS",
    "ContainerNames": "NAMES",
    "ContainerStatuses": "STATUS",
    "Namespace": "NAMESPACES",
}

COMMAND = Command(
    name="ps",
    summary="List pods",
    options=(
        flag("--ctr-ids", "Print the ids of the containers"),
        flag("--ctr-names", "Print the names of the containers"),
        flag("--ctr-status", "Print the states of the containers"),
        texts("--filter", "Only pods that fit KEY=VALUE", "-f", metavar="FILTER"),
        text("--format", "json, or a Go template", metavar="FORMAT"),
        LATEST,
        flag("--no-trunc", "Print whole ids"),
        flag("--noheading", "Print no heading"),
        flag("--ns", "Print the cgroup and the shared namespaces of each pod"),
        flag("--quiet", "Print ids only", "-q"),
        text("--sort", "Order by this field", default="created", choices=_SORTS, metavar="FIELD"),
    ),
    examples=("rpod pod ps", "rpod pod ps --ctr-names --filter status=running"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print the list."""
    from rootless_pod.container.pod.lookup import list_all

    if call.flag("quiet") and call.text("format"):
        raise Usage("quiet and format cannot be used together", remedy="leave out one of them")
    found = list_all(call.paths)
    if call.flag("latest"):
        found = found[-1:]
    if call.texts("filter"):
        from rootless_pod.commands.pod_filters import matching

        found = matching(found, call.texts("filter"))
    found = _sorted(found, call.text("sort"))
    form = call.text("format")
    if form == "json":
        from rootless_pod.commands.template import pretty_json

        sys.stdout.write(pretty_json([json_row(call.paths, one) for one in found]) + "\n")
        return 0
    if call.flag("quiet"):
        for one in found:
            print(one.id)
        return 0
    rows = [row(call.paths, one, whole=call.flag("no_trunc")) for one in found]
    if form:
        from rootless_pod.commands.template import print_rows

        print_rows(form, rows, HEADERS, noheading=call.flag("noheading"))
        return 0
    columns = _columns(call)
    headers = [HEADERS.get(column, column.upper()) for column in columns]
    print_table(headers, [[str(one[column]) for column in columns] for one in rows], heading=not call.flag("noheading"))
    return 0


def _columns(call: Call) -> list[str]:
    columns = ["ID", "Name", "Status", "Created", "InfraID"]
    wanted = (
        ("ctr_ids", "ContainerIds"),
        ("ctr_names", "ContainerNames"),
        ("ctr_status", "ContainerStatuses"),
    )
    of_containers = [column for option, column in wanted if call.flag(option)]
    columns += of_containers or ["NumberOfContainers"]
    return [*columns, "Cgroup", "Namespace"] if call.flag("ns") else columns


def _sorted(found: list[Pod], field: str) -> list[Pod]:
    if field == "id":
        return sorted(found, key=lambda one: one.id)
    if field == "name":
        return sorted(found, key=lambda one: one.config.name)
    if field == "number":
        return sorted(found, key=lambda one: len(one.members))
    if field == "status":
        return sorted(found, key=lambda one: one.status)
    return sorted(found, key=lambda one: -one.config.created_ns)


def row(paths: Paths, pod: Pod, *, whole: bool) -> dict[str, Any]:
    """Return every field a template may name, as words."""
    from rootless_pod.commands.times import ago
    from rootless_pod.container.pod.inspect import labels_of, shown_state
    from rootless_pod.container.pod.limits import recorded

    length = None if whole else _SHOWN_ID
    pod_id, infra_id = pod.id[:length], pod.config.infra_id[:length]
    return {
        "ID": pod_id,
        "Id": pod_id,
        "Name": pod.config.name,
        "Status": pod.status,
        "Created": ago(pod.config.created_ns / 1e9),
        "InfraID": infra_id,
        "InfraId": infra_id,
        "NumberOfContainers": len(pod.members),
        "Labels": labels_of(pod),
        "Networks": ",".join(_networks(pod)),
        "Cgroup": recorded(paths, pod.id).rpartition("/")[0],
        "Namespace": ",".join(pod.config.request.share) if pod.config.request.infra else "",
        "ContainerIds": ",".join(one.id[:length] for one in pod.members),
        "ContainerNames": ",".join(one.config.name for one in pod.members),
        "ContainerStatuses": ",".join(shown_state(one) for one in pod.members),
    }


def json_row(paths: Paths, pod: Pod) -> dict[str, Any]:
    """Return one object of ``--format json``, with podman's fields and types."""
    from rootless_pod.container.pod.inspect import labels_of, shown_state
    from rootless_pod.container.pod.limits import recorded
    from rootless_pod.oci.moments import rfc3339

    return {
        "Cgroup": recorded(paths, pod.id).rpartition("/")[0],
        "Containers": [{"Id": one.id, "Names": one.config.name, "Status": shown_state(one)} for one in pod.members],
        "Created": rfc3339(pod.config.created_ns),
        "Id": pod.id,
        "InfraId": pod.config.infra_id,
        "Name": pod.config.name,
        "Namespace": "",
        "Networks": _networks(pod),
        "Status": pod.status,
        "Labels": labels_of(pod) or None,
    }


def _networks(pod: Pod) -> list[str]:
    """Return the names of the named networks the pod's containers share, sorted: those of its infra container."""
    return sorted(
        join.network for one in pod.members if one.config.is_infra for join in one.config.request.network.joins
    )
