"""The columns of ``rpod top``: podman's descriptors, their headings and how each is written.

Source: podman-top(1); the forms are those podman 4.3.1 prints.
"""

from __future__ import annotations

from rootless_pod.commands.times import go_duration
from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.container.processes import Process
    from rootless_pod.userns.idmap import IdRange

DEFAULT = ("user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args")
AIX = {
    "%C": "pcpu", "%G": "group", "%P": "ppid", "%U": "user", "%a": "args", "%c": "comm", "%g": "rgroup", "%n": "nice",
    "%p": "pid", "%r": "pgid", "%t": "etime", "%u": "ruser", "%x": "time", "%y": "tty", "%z": "vsz",
}  # fmt: skip
PS = {"cmd": "args", "command": "args", "ni": "nice", "stat": "state", "s": "state", "tt": "tty", "%cpu": "pcpu",
      "start": "stime", "ucmd": "comm", "ucomm": "comm", "euser": "user", "egroup": "group"}  # fmt: skip
"""Words of ps(1) that mean the same as a descriptor."""


class Names(Frozen):
    """What ids mean: the ranges of the container's namespace and of the user's, and the names the container gives."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]
    host_uids: tuple[IdRange, ...]
    host_gids: tuple[IdRange, ...]
    users: dict[int, str]
    groups: dict[int, str]

    def user(self, number: int) -> str:
        """Return the name, or number, that a user id of the user's namespace has in the container."""
        inner = _inside(number, self.uids)
        return self.users.get(inner, str(inner))

    def group(self, number: int) -> str:
        """Return the name, or number, that a group id has in the container."""
        inner = _inside(number, self.gids)
        return self.groups.get(inner, str(inner))


def _inside(number: int, ranges: tuple[IdRange, ...]) -> int:
    for one in ranges:
        if one.host_id <= number < one.host_id + one.size:
            return one.container_id + number - one.host_id
    return 65534


def _outside(number: int, ranges: tuple[IdRange, ...]) -> str:
    for one in ranges:
        if one.container_id <= number < one.container_id + one.size:
            return str(one.host_id + number - one.container_id)
    return str(number)


def _terminal(one: Process, _names: Names) -> str:
    device = one.terminal & 0xFFFFFFFF
    major, minor = device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00
    if not device:
        return "?"
    return f"pts/{(major - 136) * 256 + minor}" if 136 <= major <= 143 else f"tty{minor}" if major == 4 else "?"


def _seccomp(one: Process, _names: Names) -> str:
    return {"0": "disabled", "1": "strict", "2": "filter"}.get(one.status.get("Seccomp", ""), "?")


def _percent(one: Process, _names: Names) -> str:
    return f"{100 * one.cpu_ns / one.elapsed_ns:.3f}" if one.elapsed_ns else "0.000"


def _label(one: Process, _names: Names) -> str:
    from rootless_pod.linux.procfs import read_text

    try:
        return read_text(f"/proc/{one.host_pid}/attr/current").strip("\0\n ") or "?"
    except OSError:
        return "?"


def _started(one: Process, _names: Names) -> str:
    from rootless_pod.commands.times import go_time

    return go_time(one.started_ns // 10**9 * 10**9)


def _capabilities(field: str) -> Callable[[Process, Names], str]:
    def words(one: Process, _names: Names) -> str:
        from rootless_pod.linux.capabilities import ALL_BITS, names_of, status_bits

        bits = status_bits(field, f"{field}: {one.status.get(field, '0')}")
        if not bits:
            return "none"
        if bits & ALL_BITS == ALL_BITS:
            return "full"
        return ",".join(name.removeprefix("CAP_") for name in names_of(bits))

    return words


COLUMNS: dict[str, tuple[str, Callable[[Process, Names], str]]] = {
    "args": ("COMMAND", lambda one, _names: one.args),
    "capamb": ("AMBIENT CAPS", _capabilities("CapAmb")),
    "capbnd": ("BOUNDING CAPS", _capabilities("CapBnd")),
    "capeff": ("EFFECTIVE CAPS", _capabilities("CapEff")),
    "capinh": ("INHERITED CAPS", _capabilities("CapInh")),
    "capprm": ("PERMITTED CAPS", _capabilities("CapPrm")),
    "comm": ("COMMAND", lambda one, _names: one.comm),
    "etime": ("ELAPSED", lambda one, _names: go_duration(one.elapsed_ns)),
    "group": ("GROUP", lambda one, names: names.group(one.gids[1])),
    "groups": ("GROUPS", lambda one, names: ",".join(names.group(each) for each in one.groups)),
    "hgroup": ("HGROUP", lambda one, names: _outside(one.gids[1], names.host_gids)),
    "hgroups": ("HGROUPS", lambda one, names: ",".join(_outside(each, names.host_gids) for each in one.groups)),
    "hpid": ("HPID", lambda one, _names: str(one.host_pid)),
    "huser": ("HUSER", lambda one, names: _outside(one.uids[1], names.host_uids)),
    "label": ("LABEL", _label),
    "nice": ("NI", lambda one, _names: str(one.nice)),
    "pcpu": ("%CPU", _percent),
    "pgid": ("PGID", lambda one, _names: str(one.pgid)),
    "pid": ("PID", lambda one, _names: str(one.pid)),
    "ppid": ("PPID", lambda one, _names: str(one.ppid)),
    "rgroup": ("RGROUP", lambda one, names: names.group(one.gids[0])),
    "rss": ("RSS", lambda one, _names: str(one.rss_bytes // 1024)),
    "ruser": ("RUSER", lambda one, names: names.user(one.uids[0])),
    "seccomp": ("SECCOMP", _seccomp),
    "state": ("STATE", lambda one, _names: one.state),
    "stime": ("STIME", _started),
    "time": ("TIME", lambda one, _names: go_duration(one.cpu_ns // 10**9 * 10**9)),
    "tty": ("TTY", _terminal),
    "user": ("USER", lambda one, names: names.user(one.uids[1])),
    "vsz": ("VSZ", lambda one, _names: str(one.vsz_bytes // 1024)),
}


def descriptors(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the columns that ``words`` (``pid comm``, ``pid,comm``, ``%C``) ask for; None if one is no descriptor."""
    asked = [AIX.get(part, part.lower()) for word in words for part in word.replace(",", " ").split()]
    return tuple(asked or DEFAULT) if all(one in COLUMNS for one in asked) else None


def from_ps(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the columns that words of ps(1) such as ``-eo user,pid`` ask for; None where that is all they do not."""
    asked: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in ("-e", "-A", "a", "ax", "x"):
            continue
        option = next((one for one in ("-eo", "-Ao", "axo", "-o", "o") if word.startswith(one)), None)
        if option is None:
            return None
        listed = word.removeprefix(option) or (rest.pop(0) if rest else "")
        asked += [PS.get(part, part) for part in listed.replace(" ", ",").lower().split(",") if part]
    return tuple(asked) if asked and all(one in COLUMNS for one in asked) else None
