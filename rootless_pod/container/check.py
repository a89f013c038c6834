"""Look at the records of containers, names, volumes, networks, and mend those that can be: for ``system check``."""

from __future__ import annotations

import os

from rootless_pod.container.damaged import mend
from rootless_pod.container.lookup import read
from rootless_pod.container.pod.check import bad_pods
from rootless_pod.container.pod.check import mend_all as mend_pods
from rootless_pod.container.remove import is_wreck, remove, sweep
from rootless_pod.errors import NotFound, RpodError
from rootless_pod.image.check import DAMAGE, LEFTOVER, WARNING, Finding
from rootless_pod.image.lookup import lookup
from rootless_pod.network.definitions import Networks
from rootless_pod.state import names
from rootless_pod.state.containers import container_ids
from rootless_pod.state.record import NewerRecord
from rootless_pod.volumes import volume as volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless_pod.container.context import Context
    from rootless_pod.paths import Paths


def check_records(context: Context, *, repair: bool, force: bool) -> list[Finding]:
    """Return what is wrong with the records; with ``repair`` what could be mended is.

    With ``force`` containers and networks go that can't be, but never those of a newer rpod.
    """
    paths = context.paths
    found = [*_bad_records(paths)]
    if not repair:
        return found
    for one in found:
        if one.kind == "container":
            mend(context, one.name)
        elif one.kind == "volume":
            volumes.mend(paths, one.name)
        elif one.kind == "network" and force and one.severity == DAMAGE:
            Networks(paths).remove(one.name)
    mend_pods(context, found, force=force)
    sweep(context, force=force)
    left = {(one.kind, one.name) for one in _bad_records(paths)}
    return [one.replace(repaired=(one.kind, one.name) not in left) for one in found]


def _bad_records(paths: Paths) -> Iterator[Finding]:
    yield from bad_containers(paths)
    yield from _stale_names(paths)
    yield from _bad_volumes(paths)
    yield from _bad_networks(paths)
    yield from bad_pods(paths)


def bad_containers(paths: Paths) -> Iterator[Finding]:
    """Find containers whose records can't be read or whose image is gone."""
    for container_id in sorted(container_ids(paths)):
        fault = _fault_of(paths, container_id)
        if fault is not None:
            severity, text = fault
            yield Finding(severity=severity, kind="container", name=container_id, text=text)


def _fault_of(paths: Paths, container_id: str) -> tuple[str, str] | None:
    try:
        one = read(paths, container_id)
    except NewerRecord as fault:
        return WARNING, fault.message
    except RpodError as fault:
        if isinstance(fault, NotFound) and not is_wreck(paths, container_id, fault):
            return None
        return DAMAGE, "container.json is gone" if isinstance(fault, NotFound) else fault.message
    try:
        if one.config.image_id:
            lookup(paths, one.config.image_id)
    except NotFound:
        return DAMAGE, "its image is not here"
    except RpodError as fault:
        return DAMAGE, fault.message
    return None


def _bad_volumes(paths: Paths) -> Iterator[Finding]:
    for name in volumes.names(paths):
        fault = volumes.fault_of(paths, name)
        if fault:
            yield Finding(severity=DAMAGE, kind="volume", name=name, text=fault)


def _bad_networks(paths: Paths) -> Iterator[Finding]:
    for name, fault in Networks(paths).damaged().items():
        severity = WARNING if isinstance(fault.__cause__, NewerRecord) else DAMAGE
        yield Finding(severity=severity, kind="network", name=name, text=fault.message)


def _stale_names(paths: Paths) -> Iterator[Finding]:
    directory = paths.names("containers")
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        holder = names.owner(directory, name)
        if holder is not None and not os.path.isdir(paths.container(holder)):
            yield Finding(severity=LEFTOVER, kind="name", name=name, text="the container that had it is gone")


def remove_bad(context: Context, findings: list[Finding]) -> None:
    """Remove the containers that could not be mended, those whose image is gone too."""
    found = {one.name for one in (*bad_containers(context.paths), *findings)
             if one.kind == "container" and one.severity == DAMAGE}  # fmt: skip
    for container_id in found:
        try:
            remove(context, container_id, force=True)
        except NotFound:
            continue
