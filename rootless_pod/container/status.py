"""What a container is doing now, computed from what is there; a record's word is only a claim. HOT.

Reads files and /proc alone, so that ``ps`` needs neither the user namespace nor another program.
"""

from __future__ import annotations

import os

from rootless_pod.frozen import Frozen
from rootless_pod.linux import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.paths import Paths

CREATED = "created"
STARTING = "starting"
BEGINNING = "beginning"
INITIALIZED = "initialized"
RUNNING = "running"
PAUSED = "paused"
STOPPING = "stopping"
EXITED = "exited"
UNKNOWN = "unknown"
"""Its records can't be read: see ``damaged``."""

UNKNOWN_EXIT = -1
UNDER_WAY = frozenset({STARTING, BEGINNING})
"""Claims that hold only while the starter lives, that is while it holds the container's lock.

``INITIALIZED`` is none of them: what ``init`` made ready waits for a ``start`` as long as its monitor lives.
"""
_NOT_BEGUN = frozenset({STARTING, BEGINNING, INITIALIZED})


class Status(Frozen):
    """The state of a container at one look.

    ``unsettled``: it has ended (or its start was cut short) and nobody has cleaned up yet.
    ``lost``: its monitor died without a word while its first process may still run.
    Times are ns since the epoch, 0 where it did not happen.
    """

    name: str
    pid: int = 0
    exit_code: int = 0
    started_ns: int = 0
    finished_ns: int = 0
    oom: bool = False
    error: str = ""
    unsettled: bool = False
    lost: bool = False

    @property
    def is_running(self) -> bool:
        """Whether its processes exist."""
        return self.name in (RUNNING, PAUSED, STOPPING)

    @property
    def is_made(self) -> bool:
        """Whether the runtime has it: it runs, or waits to be started."""
        return self.is_running or self.name == INITIALIZED


def status_of(paths: Paths, container_id: str, state: dict[str, Any]) -> Status:
    """Compute the status from the last claim ``state`` and what the machine shows."""
    claim = state.get("status", CREATED)
    started_ns = state.get("started_ns", 0)
    if claim in (CREATED, EXITED):
        return Status(
            name=claim,
            exit_code=state.get("exit_code", 0),
            started_ns=started_ns,
            finished_ns=state.get("finished_ns", 0),
            oom=state.get("oom", False),
            error=state.get("error", ""),
        )
    if state.get("boot_id") != paths.boot_id:
        if claim in _NOT_BEGUN:
            return _before(state)
        return Status(
            name=EXITED,
            exit_code=UNKNOWN_EXIT,
            started_ns=started_ns,
            error="the machine was restarted",
            unsettled=True,
        )
    pid, pid_started = state.get("pid", 0), state.get("pid_started")
    if claim == STARTING:
        return _before(state)
    made_ready = claim == INITIALIZED
    if claim in _NOT_BEGUN:
        started_ns = begun_ns(paths, container_id, state)
        claim = RUNNING if started_ns else INITIALIZED
    ended = exit_record(paths, container_id)
    if ended is not None:
        code, finished_ns = ended
        name = EXITED if started_ns or made_ready else CREATED
        oom = os.path.exists(f"{paths.bundle(container_id)}/persist/oom")
        return Status(
            name=name, exit_code=code, started_ns=started_ns, finished_ns=finished_ns, oom=oom, unsettled=True
        )
    alive = procfs.is_alive(pid, pid_started)
    monitored = procfs.is_alive(state.get("conmon_pid", 0), state.get("conmon_started"))
    if alive or monitored:
        if claim == RUNNING and state.get("cgroup") and is_frozen(state["cgroup"]):
            claim = PAUSED
        return Status(name=claim, pid=pid if alive else 0, started_ns=started_ns, lost=not monitored)
    return Status(
        name=EXITED if started_ns else CREATED,
        exit_code=UNKNOWN_EXIT,
        started_ns=started_ns,
        error="the monitor of the container died",
        unsettled=True,
    )


def _before(state: dict[str, Any]) -> Status:
    """Return the status from before the start that is under way: nothing of it shows yet."""
    ended = state.get("before")
    if not ended:
        return Status(name=CREATED, unsettled=True)
    return Status(name=EXITED, unsettled=True, **ended)


def is_frozen(cgroup: str) -> bool:
    """Tell whether the cgroup was told to freeze: no record says so, hence none can be wrong."""
    try:
        return procfs.read_text(f"/sys/fs/cgroup{cgroup}/cgroup.freeze").strip() == "1"
    except OSError:
        return False


def begun_ns(paths: Paths, container_id: str, state: dict[str, Any]) -> int:
    """Return when the process of a container that was made ready began, in ns since the epoch; 0: it has not.

    The runtime's word for it is the fifo that its waiting first process reads: it goes when ``start`` was called, and
    nothing else changes in the directory from then on. Source: crun 1.8, runc 1.1 (both derive "created" from it).
    """
    directory = f"{paths.runtime_root}/{os.path.basename(state.get('runtime') or '')}/{container_id}"
    if os.path.lexists(f"{directory}/exec.fifo"):
        return 0
    try:
        return os.stat(directory).st_mtime_ns
    except OSError:
        return 0


def exit_record(paths: Paths, container_id: str) -> tuple[int, int] | None:
    """Return (exit code, time in ns) from the monitor's exit file, or None while it has not been written.

    The time here is the modification time: good enough to list; what is kept comes from ``ctime``.
    """
    path = f"{paths.exits}/{container_id}"
    try:
        text = procfs.read_text(path).strip()
        return int(text), os.stat(path).st_mtime_ns
    except (OSError, ValueError):
        return None
