"""The pause process: who it is, and whether it still is who it was."""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.linux import procfs
from rootless_pod.programs.find import find_program
from rootless_pod.state.record import read_record, write_record
from rootless_pod.userns.idmap import IdMap, IdRange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless_pod.paths import Paths


class UserNamespace(Frozen):
    """The user's own namespaces, as every command of this boot joins them.

    ``pid`` and ``started`` name the pause process; ``reason`` says why the map is what it is.
    ``host_uid`` and ``host_gid`` are the user's ids outside.
    """

    pid: int
    started: int
    id_map: IdMap
    reason: str
    host_uid: int
    host_gid: int

    @property
    def single_id(self) -> bool:
        """Whether only the user's own id is mapped."""
        return self.id_map.single_id


def _ranges(rows: list[list[int]]) -> tuple[IdRange, ...]:
    return tuple(IdRange(container_id=row[0], host_id=row[1], size=row[2]) for row in rows)


def record_path(paths: Paths) -> str:
    """Return where the pause process of this boot is recorded."""
    return f"{paths.bootroot}/pause.json"


def read_pause(paths: Paths) -> UserNamespace | None:
    """Return the recorded namespaces if their pause process is alive and the same one; None otherwise."""
    try:
        record = read_record(record_path(paths))
        found = UserNamespace(
            pid=int(record["pid"]),
            started=int(record["started"]),
            id_map=IdMap(uids=_ranges(record["uids"]), gids=_ranges(record["gids"])),
            reason=str(record["reason"]),
            host_uid=int(record["host_uid"]),
            host_gid=int(record["host_gid"]),
        )
    except (RpodError, OSError, KeyError, TypeError, ValueError, IndexError):
        return None
    return found if procfs.is_alive(found.pid, found.started) else None


def write_pause(paths: Paths, namespace: UserNamespace) -> None:
    """Record the pause process."""
    write_record(
        record_path(paths),
        {
            "pid": namespace.pid,
            "started": namespace.started,
            "reason": namespace.reason,
            "host_uid": namespace.host_uid,
            "host_gid": namespace.host_gid,
            **namespace.id_map.to_json(),
        },
    )


def pause_argv() -> list[str]:
    """Return the smallest program here that waits for ever, or nothing (the child then sleeps itself)."""
    catatonit = find_program("catatonit")
    if catatonit is not None:
        return [catatonit, "-P"]
    sleep = find_program("sleep")
    return [sleep, "infinity"] if sleep is not None else []


def living_members(paths: Paths) -> Iterator[tuple[int, int]]:
    """Yield (pid, start time) of the monitors that still live in this boot's namespaces.

    A monitor outlives a killed pause process, and with it the namespaces: they are joined through it.
    """
    try:
        bundles = os.listdir(paths.bundles)
    except OSError:
        return
    for bundle in bundles:
        try:
            with open(f"{paths.bundles}/{bundle}/monitor.json", encoding="utf-8") as file:
                record = jsontext.loads(file.read())
            pid, started = int(record["pid"]), int(record["started"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if procfs.is_alive(pid, started):
            yield pid, started


def living_containers(paths: Paths) -> Iterator[tuple[int, int]]:
    """Yield (pid, start time) of the first processes of containers that still live, as their states name them."""
    try:
        ids = os.listdir(paths.containers)
    except OSError:
        return
    for container_id in ids:
        try:
            record = read_record(f"{paths.container(container_id)}/state.json")
            pid, started = int(record["pid"]), int(record["pid_started"])
        except (RpodError, OSError, ValueError, KeyError, TypeError):
            continue
        if procfs.is_alive(pid, started):
            yield pid, started
