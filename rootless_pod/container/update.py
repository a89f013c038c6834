"""Change what a container may use, or when it is restarted: at once where it runs, and for every later start."""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.container.cleanup import settle
from rootless_pod.container.lookup import read
from rootless_pod.container.pause import cgroup_of
from rootless_pod.container.record import record_of
from rootless_pod.container.tell import tell
from rootless_pod.errors import HostUnready
from rootless_pod.linux import cgroup
from rootless_pod.spec.blockio import block_files
from rootless_pod.spec.resources import GROUPS, choose_resources
from rootless_pod.state.containers import ContainerLock
from rootless_pod.state.record import write_bytes, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.spec.request import SpecRequest

# An option given anew takes the place of those that said the same in another way.
_INSTEAD = {"cpus": ("cpu_quota", "cpu_period"), "cpu_quota": ("cpus",), "cpu_period": ("cpus",)}


def update(context: Context, container_id: str, changes: dict[str, Any], *, restart: str | None = None) -> None:
    """Set the limits ``changes`` (fields of ``SpecRequest``, as typed) and the restart policy.

    A running container has them at once; the record, so that the next start has them, is written after that.

    Raises:
        Usage: a value is wrong.
        HostUnready: it runs without a cgroup that could hold them, or without the controller one needs.
    """
    with ContainerLock(context.paths, container_id):
        container = settle(context, read(context.paths, container_id))
        config = container.config
        request = config.request
        if restart is not None:
            from rootless_pod.container.restart_policy import parse_policy

            policy, retries = parse_policy(restart, auto_remove=request.auto_remove)
            request = request.replace(restart_policy=policy, restart_retries=retries)
        if changes:
            process = merged(request.process, changes)
            if container.status.is_made:
                _apply(context, container, process, changes)
            else:
                _check(process)
            request = request.replace(process=process)
        path = f"{context.paths.container(container_id)}/container.json"
        write_record(path, record_of(config.replace(request=request)))
        tell(context.paths, config, "update")


def merged(process: SpecRequest, changes: dict[str, Any]) -> SpecRequest:
    """Return the request with other limits; what said the same in another way is dropped."""
    dropped = {other: "" for key in changes for other in _INSTEAD.get(key, ()) if other not in changes}
    return process.replace(**dropped, **changes)


def _check(process: SpecRequest) -> None:
    """Look at the values; whether the machine can hold them shows when it is started."""
    from rootless_pod.linux.cgroup import Delegation

    everything = tuple(controller for controller, _fields, _make in GROUPS)
    choose_resources(process, Delegation(layout="v2", path="/", controllers=everything), has_cgroup=True)


def _apply(context: Context, container: Container, process: SpecRequest, changes: dict[str, Any]) -> None:
    """Hand the limits of the groups that change to the runtime, and note them in the bundle."""
    from rootless_pod.container.drivers import runtime_of

    path = cgroup_of(container, "can't be limited")
    asked = {field for _controller, fields, _make in GROUPS if set(fields) & changes.keys() for field in fields}
    only = type(process)(**{field: getattr(process, field) for field in asked})
    available = cgroup.read_delegation(path)
    try:
        resources = choose_resources(only, available.replace(enabled=()), has_cgroup=True)
    except HostUnready as cause:
        if available.controllers and _parent_has_more(path, available.controllers):
            name = container.config.name
            cause.remedy = f"the container gets it when it is started with a limit: rpod stop {name}, update, start"
        raise
    unlimited = "pids_limit" in changes and "pids" not in resources
    blocks = resources.get("blockIO", {})
    handed = {section: values for section, values in resources.items() if section != "blockIO"}
    if handed:
        runtime_of(context, container.state).update(container.id, handed)
    for name, text in block_files(blocks):
        try:
            cgroup.write(path, name, text)
        except OSError as cause:
            raise HostUnready(f"the kernel does not take {text!r} for {name}: {cause.strerror}") from cause
    if unlimited:
        cgroup.write(path, "pids.max", "max")
        resources["pids"] = {"limit": 0}
    _note(f"{context.paths.bundle(container.id)}/config.json", resources)


def _parent_has_more(path: str, controllers: tuple[str, ...]) -> bool:
    return bool(set(cgroup.read_delegation(os.path.dirname(path)).controllers) - set(controllers))


def _note(path: str, resources: dict[str, Any]) -> None:
    """Write the limits into the bundle: ``inspect`` reads it."""
    with open(path, "rb") as file:
        spec = jsontext.loads(file.read())
    kept = spec.setdefault("linux", {}).setdefault("resources", {})
    for section, values in resources.items():
        kept[section] = {**kept.get(section, {}), **values}
    write_bytes(path, jsontext.dumps(spec).encode())
