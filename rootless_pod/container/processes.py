"""The processes of a running container, from /proc: as the container numbers them, and as this machine does."""

from __future__ import annotations

import os
import time

from rootless_pod.frozen import Frozen
from rootless_pod.linux.procfs import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.lookup import Container

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_NS_PER_SECOND = 1_000_000_000


class Process(Frozen):
    """One process; ``pid``, ``ppid`` and ``pgid`` are the container's, 0 for one outside of it.

    Ids are those of the user's namespace: (real, effective). ``started_ticks`` counts from boot.
    """

    host_pid: int
    pid: int
    ppid: int
    pgid: int
    comm: str
    args: str
    state: str
    uids: tuple[int, int]
    gids: tuple[int, int]
    groups: tuple[int, ...]
    cpu_ticks: int
    started_ticks: int
    nice: int
    threads: int
    terminal: int
    vsz_bytes: int
    rss_bytes: int
    status: dict[str, str]

    @property
    def cpu_ns(self) -> int:
        """How long it has had a processor."""
        return self.cpu_ticks * _NS_PER_SECOND // TICKS_PER_SECOND

    @property
    def elapsed_ns(self) -> int:
        """How long ago it started."""
        return max(
            0, time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self.started_ticks * _NS_PER_SECOND // TICKS_PER_SECOND
        )

    @property
    def started_ns(self) -> int:
        """When it started, in ns since the epoch."""
        return time.time_ns() - self.elapsed_ns


def processes(container: Container) -> list[Process]:
    """Return the processes of a running container, in the order of the container's pids; empty if it ended meanwhile.

    They are those of its pid namespace and of namespaces below; where it has the host's, those its monitor started.
    """
    first = container.status.pid
    if not first:
        return []
    found = {pid: fields for pid in _pids() if (fields := _fields(pid)) is not None}
    if first not in found:
        return []
    shares_host = _pid_namespace(first) == _pid_namespace(os.getpid())
    root = container.state.get("conmon_pid", 0) if shares_host else first
    members = _below(root, found, "" if shares_host else _pid_namespace(first))
    members.discard(root if shares_host else -1)
    depth = len(found[first]["NSpid"].split()) - 1
    numbers = {pid: _number(found[pid].get("NSpid", ""), depth) for pid in members}
    rows = [_process(pid, found[pid], numbers, depth) for pid in members]
    return sorted((one for one in rows if one is not None), key=lambda one: one.pid)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _pid_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _fields(pid: int) -> dict[str, str] | None:
    try:
        lines = read_text(f"/proc/{pid}/status").splitlines()
    except OSError:
        return None
    return {name: value.strip() for name, _colon, value in (line.partition(":") for line in lines)}


def _below(root: int, found: dict[int, dict[str, str]], namespace: str) -> set[int]:
    """Return ``root``, what descends from it, and what else lives in ``namespace``, with what descends from that."""
    members = {root}
    if namespace:
        members |= {pid for pid in found if _pid_namespace(pid) == namespace}
    children: dict[int, list[int]] = {}
    for pid, fields in found.items():
        children.setdefault(int(fields.get("PPid", "0")), []).append(pid)
    waiting = list(members)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in members:
                members.add(child)
                waiting.append(child)
    return {pid for pid in members if pid in found}


def _number(text: str, depth: int) -> int:
    words = text.split()
    return int(words[depth]) if len(words) > depth else 0


def _process(pid: int, status: dict[str, str], numbers: dict[int, int], depth: int) -> Process | None:
    try:
        stat = read_text(f"/proc/{pid}/stat")
        words = read_text(f"/proc/{pid}/cmdline").replace("\0", " ")
    except OSError:
        return None
    fields = stat[stat.rfind(")") + 2 :].split()
    uid, effective_uid = (int(word) for word in status["Uid"].split()[:2])
    gid, effective_gid = (int(word) for word in status["Gid"].split()[:2])
    return Process(
        host_pid=pid,
        pid=numbers[pid],
        ppid=numbers.get(int(status["PPid"]), 0),
        pgid=_number(status.get("NSpgid", ""), depth),
        comm=status["Name"],
        args=words or f"[{status['Name']}]",
        state=fields[0],
        uids=(uid, effective_uid),
        gids=(gid, effective_gid),
        groups=tuple(int(word) for word in status.get("Groups", "").split()),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        started_ticks=int(fields[19]),
        nice=int(fields[16]),
        threads=int(fields[17]),
        terminal=int(fields[4]),
        vsz_bytes=int(fields[20]),
        rss_bytes=int(fields[21]) * os.sysconf("SC_PAGESIZE"),
        status=status,
    )
