"""``rpod ps``: the containers and what they are doing. HOT: reads files alone, no user namespace, no other program."""

from __future__ import annotations

import sys
import time

from rootless_pod.commands.declare import Call, Command, Option, flag, text, texts
from rootless_pod.commands.table import print_table, wants_json
from rootless_pod.commands.times import ago, exited, up
from rootless_pod.container import lookup
from rootless_pod.container import status as states
from rootless_pod.errors import Usage
from rootless_pod.jsontext import Map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless_pod.container.lookup import Container
    from rootless_pod.paths import Paths

_SORTS = ("command", "created", "id", "image", "names", "runningfor", "size", "status")
_SHOWN_WORDS = 17
_SHOWN_ID = 12
HEADERS = {
    "ID": "CONTAINER ID",
    "RunningFor": "CREATED",
    "CreatedHuman": "CREATED",
    "CreatedAt": "CREATED AT",
    "ImageID": "IMAGE ID",
    "Pod": "POD ID",
}

COMMAND = Command(
    name="ps",
    summary="List containers",
    options=(
        flag("--all", "Also those that do not run", "-a"),
        flag("--external", "Also containers of other tools in this store (there are none)"),
        texts("--filter", "Only containers that fit KEY=VALUE", "-f", metavar="FILTER"),
        text("--format", "json, or a Go template", metavar="FORMAT"),
        Option(name="--last", short="-n", kind="int", default=-1, metavar="COUNT", help="Only the last created ones"),
        flag("--latest", "Only the container created last", "-l"),
        flag("--no-trunc", "Print whole ids and commands"),
        flag("--noheading", "Print no heading"),
        flag("--ns", "Print the namespaces of each container"),
        flag("--pod", "Print the pod of each container", "-p"),
        flag("--quiet", "Print ids only", "-q"),
        flag("--size", "Print the size of each container's own files", "-s"),
        text("--sort", "Order by this field", default="created", choices=_SORTS, metavar="FIELD"),
        flag("--sync", "Look at what really runs (rpod always does)"),
        Option(name="--watch", short="-w", kind="uint", metavar="SECONDS", help="Print again every so many seconds"),
    ),
    examples=("rpod ps", "rpod ps -a --format '{{.ID}} {{.Names}} {{.Status}}'", "rpod ps -q --filter status=exited"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print the list once, or again and again with ``--watch``."""
    if call.flag("quiet") and (call.flag("size") or call.flag("ns")):
        raise Usage("--quiet can't go with --size or --ns", remedy="leave out one of them")
    while True:
        _print_once(call)
        seconds = call.number("watch")
        if not seconds:
            return 0
        sys.stdout.flush()
        time.sleep(seconds)
        sys.stdout.write("\033[H\033[2J")


def _print_once(call: Call) -> None:
    paths = call.paths
    found = sort_containers(chosen(call, paths), call.text("sort"), paths)
    form = call.text("format")
    if form and wants_json(form):
        from rootless_pod.commands.template import pretty_json

        sys.stdout.write(pretty_json([json_row(paths, one, size=call.flag("size")) for one in found]) + "\n")
        return
    if call.flag("quiet") and not form:
        for one in found:
            print(one.id if call.flag("no_trunc") else one.id[:_SHOWN_ID])
        return
    rows = [row(paths, one, whole=call.flag("no_trunc"), size=call.flag("size")) for one in found]
    if form:
        from rootless_pod.commands.template import print_rows

        print_rows(form, rows, HEADERS, noheading=call.flag("noheading"))
        return
    columns = _columns(call)
    headers = [HEADERS.get(column, column.upper()) for column in columns]
    print_table(headers, [[str(one[column]) for column in columns] for one in rows], heading=not call.flag("noheading"))


def _columns(call: Call) -> list[str]:
    if call.flag("ns"):
        return ["ID", "Names", "PID", "CGROUPNS", "IPC", "MNT", "NET", "PIDNS", "USERNS", "UTS"]
    columns = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"]
    if call.flag("pod"):
        columns += ["Pod", "PodName"]
    return [*columns, "Size"] if call.flag("size") else columns


def chosen(call: Call, paths: Paths) -> list[Container]:
    """Return the containers the options pick: running ones, unless ``--all`` or a filter of state says otherwise."""
    found = lookup.list_all(paths, damaged=True)
    _look_after(call, found)
    if call.flag("latest"):
        found = found[-1:]
    last = call.number("last")
    if last is not None and last >= 0:
        found = found[max(0, len(found) - last) :]
    found = [_in_pod(paths, one) if one.config.pod_id else one for one in found]
    conditions = call.texts("filter")
    if conditions:
        from rootless_pod.commands.filters import matching

        found = matching(found, conditions, paths)
    limited = call.flag("latest") or (last is not None and last >= 0)
    by_state = any(condition.partition("=")[0] in ("status", "exited") for condition in conditions)
    if call.flag("all") or limited or by_state:
        return found
    return [one for one in found if one.status.is_running and one.status.name != states.PAUSED]


def _in_pod(paths: Paths, container: Container) -> Container:
    from rootless_pod.container.pod.lookup import with_pod_ports

    return with_pod_ports(paths, container)


def _pod_of(paths: Paths, container: Container) -> tuple[str, str]:
    """Return id and name of the container's pod, both "" if it is in none."""
    if not container.config.pod_id:
        return "", ""
    from rootless_pod.container.pod.lookup import name_of

    return container.config.pod_id, name_of(paths, container.config.pod_id)


def _look_after(call: Call, found: list[Container]) -> None:
    """Have those looked after whose own processes were killed: few containers have any."""
    watched = [one for one in found if one.config.request.restart_policy or one.config.request.health is not None]
    if watched:
        from rootless_pod.commands.context import places_of
        from rootless_pod.container.revive import revive

        revive(places_of(call), watched)


def sort_containers(found: list[Container], field: str, paths: Paths) -> list[Container]:
    """Return them in podman's order: oldest first by default, otherwise by the field."""
    if field in ("created", "runningfor"):
        by_start = field == "runningfor"
        return sorted(found, key=lambda one: one.status.started_ns if by_start else one.config.created_ns)
    if field == "size":
        from rootless_pod.container.inspect import size_of_changes

        return sorted(found, key=lambda one: size_of_changes(paths, one.id))
    keys: dict[str, Callable[[Container], str]] = {
        "command": lambda one: " ".join(one.config.words),
        "id": lambda one: one.id,
        "image": lambda one: one.config.image_name,
        "names": lambda one: one.config.name,
        "status": lambda one: one.status.name,
    }
    return sorted(found, key=keys[field])


def _health(paths: Paths, container: Container) -> str:
    if container.config.request.health is None:
        return ""
    from rootless_pod.container.health import read_health

    return str(read_health(paths, container.id).get("Status") or "")


def status_words(paths: Paths, container: Container) -> str:
    """Return the status as podman words it."""
    status = container.status
    health = f" ({words})" if (words := _health(paths, container)) else ""
    if status.name in (states.RUNNING, states.STOPPING):
        return f"{up(status.started_ns / 1e9)}{health}"
    if status.name == states.PAUSED:
        return "Paused"
    if status.name == states.EXITED:
        return f"{exited(status.exit_code, (status.finished_ns or status.started_ns) / 1e9)}{health}"
    if status.name == states.UNKNOWN:
        return f"Damaged: {status.error}"
    return "Initialized" if status.name == states.INITIALIZED else "Created"


def ports_words(container: Container) -> str:
    """Return the published ports: ``0.0.0.0:8080->80/tcp, …``, runs of ports put together."""
    network = container.state.get("network") or {}
    rows = network.get("ports") or [one.as_dict() for one in container.config.request.network.publish]
    runs: list[list[Any]] = []
    for one in sorted(rows, key=lambda row: (row["protocol"], row.get("host_ip") or "", row["container_port"])):
        place = (one["protocol"], one.get("host_ip") or "0.0.0.0")  # noqa: S104 - what is shown, not bound
        host, inner = one["host_port"], one["container_port"]
        if runs and runs[-1][0] == place and runs[-1][2] + 1 == host and runs[-1][4] + 1 == inner:
            runs[-1][2], runs[-1][4] = host, inner
        else:
            runs.append([place, host, host, inner, inner])
    words = []
    for (protocol, address), host, host_end, inner, inner_end in runs:
        left = f"{host}-{host_end}" if host != host_end else str(host)
        right = f"{inner}-{inner_end}" if inner != inner_end else str(inner)
        words.append(f"{address}:{left}->{right}/{protocol}")
    return ", ".join(words)


def row(paths: Paths, container: Container, *, whole: bool, size: bool) -> dict[str, Any]:
    """Return every field a template may name, as words."""
    config, command = container.config, " ".join(container.config.words)
    created = config.created_ns / 1e9
    pod_id, pod_name = _pod_of(paths, container)
    values: dict[str, Any] = {
        "ID": config.id if whole else config.id[:_SHOWN_ID],
        "Image": config.image_name or ("" if config.is_infra else config.request.rootfs),
        "ImageID": config.image_id if whole else config.image_id[:_SHOWN_ID],
        "Command": command if whole or len(command) <= _SHOWN_WORDS else f"{command[:_SHOWN_WORDS]}...",
        "RunningFor": ago(created),
        "CreatedHuman": ago(created),
        "Status": status_words(paths, container),
        "State": container.status.name,
        "Ports": ports_words(container),
        "Names": config.name,
        "Mounts": _destinations(container),
        "Labels": Map(config.labels),
        "Networks": ",".join(networks_of(container)),
        "Pid": container.status.pid,
        "PID": container.status.pid,
        "ExitCode": container.status.exit_code,
        "Exited": container.status.name == states.EXITED,
        "AutoRemove": config.request.auto_remove,
        "IsInfra": config.is_infra,
        "CIDFile": config.request.cid_file,
        "Restarts": container.state.get("restarts", 0),
        "Pod": pod_id if whole else pod_id[:_SHOWN_ID],
        "PodName": pod_name,
        "Size": "",
    }
    values.update(_moments(container))
    values.update(_namespaces(container.status.pid))
    if size:
        values["Size"] = _size(paths, container)
    return values


def _moments(container: Container) -> dict[str, Any]:
    from rootless_pod.commands.times import go_time

    status, created = container.status, go_time(container.config.created_ns)
    return {
        "Created": created,
        "CreatedAt": created,
        "StartedAt": _unix(status.started_ns),
        "ExitedAt": _unix(status.finished_ns),
    }


def _unix(moment_ns: int) -> int:
    """Return seconds since 1970; what did not happen was, to Go, in the year 1."""
    from rootless_pod.oci.moments import NO_UNIX_SECONDS

    return moment_ns // 10**9 if moment_ns else NO_UNIX_SECONDS


def _destinations(container: Container) -> list[str]:
    return sorted(one["Destination"] for one in container.state.get("mounts", ()))


def _namespaces(pid: int) -> dict[str, str]:
    import os

    names = {
        "cgroup": "CGROUPNS",
        "ipc": "IPC",
        "mnt": "MNT",
        "net": "NET",
        "pid": "PIDNS",
        "user": "USERNS",
        "uts": "UTS",
    }
    found = {}
    for name, key in names.items():
        try:
            found[key] = os.readlink(f"/proc/{pid}/ns/{name}").partition("[")[2].rstrip("]") if pid else ""
        except OSError:
            found[key] = ""
    return found


def _size(paths: Paths, container: Container) -> str:
    from rootless_pod.commands.humanize import size
    from rootless_pod.container.inspect import size_of_changes
    from rootless_pod.errors import RpodError
    from rootless_pod.image.lookup import lookup as find_image

    own = size_of_changes(paths, container.id)
    try:
        image_bytes = find_image(paths, container.config.image_id).size_bytes if container.config.image_id else 0
    except RpodError:
        image_bytes = 0
    return f"{size(own, blank=False)} (virtual {size(own + image_bytes, blank=False)})"


def json_row(paths: Paths, container: Container, *, size: bool) -> dict[str, Any]:
    """Return one object of ``--format json``, with podman's fields and types."""
    from rootless_pod.container.inspect import size_of_changes

    config, status = container.config, container.status
    pod_id, pod_name = _pod_of(paths, container)
    network = container.state.get("network") or {}
    ports = network.get("ports") or [one.as_dict() for one in config.request.network.publish]
    return {
        "AutoRemove": config.request.auto_remove,
        "Command": list(config.words),
        "CIDFile": config.request.cid_file,
        "CreatedAt": ago(config.created_ns / 1e9),
        "Exited": status.name == states.EXITED,
        "ExitedAt": _unix(status.finished_ns),
        "ExitCode": status.exit_code,
        "Id": config.id,
        "Image": config.image_name,
        "ImageID": config.image_id,
        "IsInfra": config.is_infra,
        "Labels": Map(config.labels) or None,
        "Mounts": _destinations(container),
        "Names": [config.name],
        "Namespaces": {key: value for key, value in _namespaces(status.pid).items() if value},
        "Networks": networks_of(container),
        "Pid": status.pid,
        "Pod": pod_id,
        "PodName": pod_name,
        "Ports": [
            {
                "host_ip": one.get("host_ip") or "",
                "container_port": one["container_port"],
                "host_port": one["host_port"],
                "range": 1,
                "protocol": one["protocol"],
            }
            for one in ports
        ]
        or None,
        "Restarts": container.state.get("restarts", 0),
        "Size": {"rwSize": size_of_changes(paths, config.id)} if size else None,
        "StartedAt": _unix(status.started_ns),
        "State": status.name,
        "Status": status_words(paths, container),
        "Created": config.created_ns // 10**9,
    }


def networks_of(container: Container) -> list[str]:
    """Return the names of the named networks a container is on, sorted."""
    return sorted(join.network for join in container.config.request.network.joins)
