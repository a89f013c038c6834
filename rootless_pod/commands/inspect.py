"""``rpod inspect``: everything about containers and images."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag, text
from rootless_pod.errors import NotFound, RpodError, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.lookup import Container

COMMAND = Command(
    name="inspect",
    summary="Display the configuration of containers, images, volumes and networks",
    help="Prints a JSON list with one object for each name: of a container, else an image, a volume or a network.",
    options=(
        text("--format", "json, or a Go template", "-f", default="json", metavar="FORMAT"),
        flag("--latest", "The container created last", "-l"),
        flag("--size", "Also the size of a container's own files", "-s"),
        text(
            "--type",
            "What to look for",
            "-t",
            default="all",
            choices=("all", "container", "image", "volume", "network"),
            metavar="TYPE",
        ),
    ),
    arguments=(Argument(name="NAMES", kind="many", help="Names or ids", completes="container"),),
    examples=("rpod inspect web", "rpod inspect --format '{{.State.Status}}' web"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print what is found; the names not found are told afterwards, with exit code 125."""
    names = call.many("names")
    call = call.replace(places=call.paths)  # found once, not for each name
    if not names and not call.flag("latest"):
        raise Usage("no name given", remedy="give the name or id of a container or image, or --latest")
    found: list[dict[str, Any]] = []
    missing: list[RpodError] = []
    if call.flag("latest"):
        from rootless_pod.container.lookup import latest

        found.append(_container(call, latest(call.paths)))
    for name in names:
        try:
            found.append(_look(call, name))
        except NotFound as error:
            missing.append(error)
    _print(call.text("format"), found)
    if missing:
        from rootless_pod.commands.report import report

        sys.stdout.flush()
        for one in missing:
            report(one)
        return 125
    return 0


def _look(call: Call, name: str) -> dict[str, Any]:
    kind = call.text("type")
    if kind in ("all", "container"):
        from rootless_pod.container.lookup import find

        try:
            return _container(call, find(call.paths, name, damaged=True))
        except NotFound:
            if kind == "container":
                raise
    from rootless_pod.commands.image_inspect import inspect_image

    if kind in ("all", "image"):
        try:
            return inspect_image(call.paths, name)
        except NotFound:
            if kind == "image":
                raise
    if kind in ("all", "volume"):
        from rootless_pod.commands.volume_rows import as_json, with_state
        from rootless_pod.volumes.volume import read

        try:
            return as_json(with_state(call.paths, read(call.paths, name), ask=True))
        except NotFound:
            if kind == "volume":
                raise
    return _network(call, name)


def _network(call: Call, name: str) -> dict[str, Any]:
    from rootless_pod.commands.network_rows import for_template, inspected
    from rootless_pod.commands.table import wants_json
    from rootless_pod.network.definitions import Networks

    try:
        found = Networks(call.paths).find(name)
    except NotFound as cause:
        if call.text("type") == "network":
            raise
        raise NotFound(f"no such object: {name!r}", remedy="see what is there: rpod ps -a; rpod images") from cause
    return inspected(call.paths, found) if wants_json(call.text("format")) else for_template(found)


def _container(call: Call, container: Container) -> dict[str, Any]:
    from rootless_pod.container.inspect import inspect

    if container.config.request.restart_policy or container.config.request.health is not None:
        from rootless_pod.commands.context import places_of
        from rootless_pod.container.revive import revive

        revive(places_of(call), [container])
    return inspect(call.paths, container, size=call.flag("size"))


def _print(form: str, found: list[dict[str, Any]]) -> None:
    from rootless_pod.commands.table import wants_json
    from rootless_pod.commands.template import pretty_json, print_values

    if wants_json(form):
        sys.stdout.write(pretty_json(found) + "\n")
        return
    for one in found:
        state = one.get("State")
        if isinstance(state, dict) and "Health" in state:
            state["Healthcheck"] = state["Health"]  # podman's older name, for templates alone
        print_values(form, one)
