"""``rpod info``: what rpod found here, what it uses, and why."""

from __future__ import annotations

import sys

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Call, Command, flag, text
from rootless_pod.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command(
    name="info",
    summary="Show what rpod uses here: host, store, drivers and why",
    help=(
        "Prints podman's fields as YAML, and below drivers what was chosen for storage, network and runtime, why, and "
        "what was refused. Templates may use podman's Go names ({{.Host.OCIRuntime.Name}}) or the names of the JSON "
        "output ({{.host.ociRuntime.name}})."
    ),
    options=(
        flag("--debug", "Also what each configuration file says, and what can't act and why", "-D"),
        text("--format", "json, or a Go template", "-f", metavar="FORMAT"),
    ),
    examples=("rpod info", "rpod info --format json", "rpod info --format '{{.Store.GraphRoot}}'"),
)
# Go's names of fields that JSON calls otherwise (not only in another case). Source: podman's libpod/define/info.go.
_GO_NAMES = {
    "cgroupsversion": "cgroupVersion",
    "defaultcapabilities": "capabilities",
    "containerid": "container_id",
    "hostid": "host_id",
}


class Fields(dict):  # type: ignore[type-arg]
    """An object whose fields a template may name as Go does or as JSON does; an unknown one is an error."""

    def _key(self, name: object) -> str | None:
        wanted = str(name).lower()
        wanted = _GO_NAMES.get(wanted, wanted).lower()
        return next((key for key in self if key.lower() == wanted), None)

    def __contains__(self, name: object) -> bool:
        if dict.__contains__(self, name):
            return True
        if self._key(name) is None:
            raise Usage(f"there is no field .{name}", remedy=f"use one of: {', '.join(self)}")
        return True

    def __missing__(self, name: str) -> Any:
        key = self._key(name)
        if key is None:
            raise KeyError(name)
        return self[key]


_FREE_KEYS = frozenset({"registries", "graphOptions", "graphStatus", "configuration"})


def with_fields(value: Any, key: str = "") -> Any:
    """Return ``value`` with every object that has fixed fields as ``Fields``; maps with keys of their own stay."""
    if isinstance(value, dict):
        inner = {name: with_fields(item, name) for name, item in value.items()}
        return inner if key in _FREE_KEYS else Fields(inner)
    if isinstance(value, list):
        return [with_fields(item) for item in value]
    return value


def main(call: Call) -> int:
    """Print what was gathered: YAML, JSON or through a template."""
    from rootless_pod.commands.version import VERSION
    from rootless_pod.container.info import gather

    found = gather(context_of(call), VERSION)
    if call.flag("debug"):
        from rootless_pod.commands.configured_rows import explain

        found["configuration"] = explain(call.globals)
    form = call.text("format")
    if not form:
        from rootless_pod.commands.yamltext import to_yaml

        sys.stdout.write(to_yaml(found))
        return 0
    from rootless_pod.commands.template import print_values

    print_values(form, found if form == "json" else with_fields(found))
    return 0
