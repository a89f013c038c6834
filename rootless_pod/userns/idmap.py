"""Id maps: which ids of a user namespace are which ids outside."""

from __future__ import annotations

from rootless_pod.frozen import Frozen


class IdRange(Frozen):
    """``size`` ids from ``container_id`` (inside) on are those from ``host_id`` (outside) on."""

    container_id: int
    host_id: int
    size: int


class IdMap(Frozen):
    """The user and group ranges of one user namespace."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]

    @property
    def single_id(self) -> bool:
        """Whether only one id is mapped."""
        return sum(entry.size for entry in self.uids) == 1

    def to_json(self) -> dict[str, list[list[int]]]:
        """Return the ranges as plain lists."""
        return {
            "uids": [[entry.container_id, entry.host_id, entry.size] for entry in self.uids],
            "gids": [[entry.container_id, entry.host_id, entry.size] for entry in self.gids],
        }


def parse_map(text: str) -> tuple[IdRange, ...]:
    """Read the text of ``/proc/PID/uid_map`` (or ``gid_map``)."""
    ranges = []
    for line in text.splitlines():
        inside, outside, size = line.split()
        ranges.append(IdRange(container_id=int(inside), host_id=int(outside), size=int(size)))
    return tuple(ranges)


def map_of(own_id: int, ranges: tuple[tuple[int, int], ...]) -> tuple[IdRange, ...]:
    """Map 0 to ``own_id`` and 1… to the subordinate ``ranges`` (start, count), one after the other."""
    entries = [IdRange(container_id=0, host_id=own_id, size=1)]
    next_id = 1
    for start, count in ranges:
        entries.append(IdRange(container_id=next_id, host_id=start, size=count))
        next_id += count
    return tuple(entries)


def format_map(ranges: tuple[IdRange, ...]) -> str:
    """Return the text the kernel wants in ``uid_map``."""
    return "".join(f"{entry.container_id} {entry.host_id} {entry.size}\n" for entry in ranges)


def helper_arguments(pid: int, ranges: tuple[IdRange, ...]) -> list[str]:
    """Return the arguments of newuidmap(1) and newgidmap(1)."""
    arguments = [str(pid)]
    for entry in ranges:
        arguments += [str(entry.container_id), str(entry.host_id), str(entry.size)]
    return arguments
