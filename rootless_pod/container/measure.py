"""What a container uses at this moment: from its cgroup, and from /proc where no cgroup counts it."""

from __future__ import annotations

import os
import time

from rootless_pod.frozen import Frozen
from rootless_pod.linux.procfs import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.lookup import Container
    from rootless_pod.container.processes import Process

_ROOT = "/sys/fs/cgroup"


class Measured(Frozen):
    """One look. Times in ns, sizes in bytes; all 0 for a container that does not run, but ``at_ns``.

    ``cpu_ns`` counts from the start, ``network_*`` and ``block_*`` too; ``memory_limit`` is the machine's memory where
    no limit is set.
    """

    id: str
    name: str
    at_ns: int
    started_ns: int = 0
    cpu_ns: int = 0
    memory_bytes: int = 0
    memory_limit: int = 0
    network_in: int = 0
    network_out: int = 0
    block_in: int = 0
    block_out: int = 0
    pids: int = 0

    def cpu_percent(self, before: Measured | None) -> float:
        """Return the share of one processor it had since ``before`` (None: since it started)."""
        used, since = (before.cpu_ns, before.at_ns) if before is not None else (0, self.started_ns)
        passed = self.at_ns - since
        return max(0.0, 100 * (self.cpu_ns - used) / passed) if passed > 0 else 0.0

    @property
    def memory_percent(self) -> float:
        """The share of its limit that is used."""
        return 100 * self.memory_bytes / self.memory_limit if self.memory_limit else 0.0


def measure(container: Container) -> Measured:
    """Look at a container once."""
    status = container.status
    nothing = Measured(id=container.id, name=container.config.name, at_ns=time.time_ns())
    if not status.is_running or not status.pid:
        return nothing
    cgroup = container.state.get("cgroup") or ""
    counted = _from_cgroup(cgroup) if cgroup and os.path.exists(f"{_ROOT}{cgroup}/cpu.stat") else {}
    if not {"cpu_ns", "memory_bytes", "block_in", "pids"} <= counted.keys():
        from rootless_pod.container.processes import processes

        found = processes(container)
        if container.config.pod_id:  # not those it shares its pids with
            found = [one for one in found if _is_own(one.host_pid, cgroup, status.pid)]
        counted = {**_from_processes(found), **counted}
    machine = _machine_memory()
    limit = min(counted.pop("memory_limit", machine), machine)
    received, sent = _network(container)
    return nothing.replace(
        started_ns=status.started_ns, memory_limit=limit, network_in=received, network_out=sent, **counted
    )


def _is_own(pid: int, cgroup: str, first: int) -> bool:
    """Tell whether a process is in the container's cgroup; without one, in the mount namespace of its first process."""
    try:
        if not cgroup:
            return os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink(f"/proc/{first}/ns/mnt")
        return any(line[3:] == cgroup for line in read_text(f"/proc/{pid}/cgroup").splitlines() if line[:3] == "0::")
    except OSError:
        return False


def _from_cgroup(path: str) -> dict[str, int]:
    """Return what the controllers that are at work there count."""
    found: dict[str, int] = {}
    usage = _keyed(f"{path}/cpu.stat").get("usage_usec")
    if usage is not None:
        found["cpu_ns"] = usage * 1000
    for key, name in (("memory_bytes", "memory.current"), ("memory_limit", "memory.max"), ("pids", "pids.current")):
        text = _text(f"{path}/{name}").strip()
        if text.isdigit():
            found[key] = int(text)
    if os.path.exists(f"{_ROOT}{path}/io.stat"):
        words = _text(f"{path}/io.stat").split()
        found["block_in"] = sum(int(word[7:]) for word in words if word.startswith("rbytes="))
        found["block_out"] = sum(int(word[7:]) for word in words if word.startswith("wbytes="))
    return found


def _from_processes(found: list[Process]) -> dict[str, int]:
    """Return the sums over the living processes."""
    read_bytes = written = 0
    for one in found:
        counters = _counters(one.host_pid)
        read_bytes += counters.get("read_bytes", 0)
        written += counters.get("write_bytes", 0)
    return {
        "cpu_ns": sum(one.cpu_ns for one in found),
        "memory_bytes": sum(one.rss_bytes for one in found),
        "block_in": read_bytes,
        "block_out": written,
        "pids": sum(one.threads for one in found),
    }


def _counters(pid: int) -> dict[str, int]:
    try:
        lines = read_text(f"/proc/{pid}/io").splitlines()
    except OSError:
        return {}
    return {name: int(value) for name, _colon, value in (line.partition(":") for line in lines)}


def _network(container: Container) -> tuple[int, int]:
    """Return the bytes its own network received and sent; a network shared with the host is not its own."""
    pid = container.status.pid
    try:
        if os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino:
            return 0, 0
        lines = read_text(f"/proc/{pid}/net/dev").splitlines()[2:]
    except OSError:
        return 0, 0
    received = sent = 0
    for line in lines:
        name, _colon, numbers = line.partition(":")
        fields = numbers.split()
        if name.strip() != "lo":
            received += int(fields[0])
            sent += int(fields[8])
    return received, sent


def _machine_memory() -> int:
    for line in read_text("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _text(path: str) -> str:
    try:
        return read_text(f"{_ROOT}{path}")
    except OSError:
        return ""


def _keyed(path: str) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {words[0]: int(words[1]) for words in pairs if len(words) == 2 and words[1].isdigit()}
