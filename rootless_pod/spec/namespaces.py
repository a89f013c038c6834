"""Which namespaces the container has: own, the host's, or another's. HOT."""

from __future__ import annotations

from rootless_pod.errors import Refused, Usage
from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless_pod.spec.host import HostFacts
    from rootless_pod.spec.request import SpecRequest
    from rootless_pod.spec.rootless import UserMapping

HOST = "host"
NEW = ""

_EXTRA_WORDS = {"ipc": ("shareable", "none")}
_IPC_SYSCTLS = frozenset(
    [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ]
)
_UTS_SYSCTLS = frozenset(("kernel.domainname", "kernel.hostname"))


class Namespaces(Frozen):
    """Each is ``"host"``, "" (a new one) or the path of one to join; ``net`` may not be asked for here."""

    pid: str = NEW
    ipc: str = NEW
    uts: str = NEW
    cgroup: str = HOST
    net: str = NEW
    user: str = HOST
    shared_memory: bool = True  # False: --ipc none

    def to_json(self) -> list[dict[str, Any]]:
        """Return ``linux.namespaces``."""
        listed: list[dict[str, Any]] = []
        for kind, where in (
            ("pid", self.pid),
            ("network", self.net),
            ("ipc", self.ipc),
            ("uts", self.uts),
            ("cgroup", self.cgroup),
            ("user", self.user),
        ):
            if where != HOST:
                listed.append({"type": kind, "path": where} if where else {"type": kind})
        listed.append({"type": "mount"})
        return listed


def choose_namespaces(
    request: SpecRequest,
    joined: Mapping[str, str | None],
    host: HostFacts,
    *,
    netns_path: str | None,
    mapping: UserMapping,
) -> Namespaces:
    """Parse ``--pid --ipc --uts --cgroupns``.

    ``joined`` holds the path for each kind (pid, ipc, uts, cgroup) where the conductor resolved ``container:ID`` or
    a pod shares one. ``netns_path`` None is the host's network, "" a new and empty namespace made by the runtime.

    Raises:
        Usage: an unknown mode.
    """
    unified = host.cgroups.layout == "v2"
    cgroup = _place("cgroup", request.cgroupns or ("" if unified else HOST), joined)
    if cgroup == NEW and not unified:
        raise Refused(
            f"--cgroupns private needs cgroups v2, and this machine has {host.cgroups.layout}",
            remedy="boot with systemd.unified_cgroup_hierarchy=1",
        )
    uts = _place("uts", request.uts, joined)
    if uts == HOST and request.hostname:
        raise Usage("cannot set hostname when running in the host UTS namespace", remedy="leave out --hostname")
    return Namespaces(
        pid=_place("pid", request.pid, joined),
        ipc=_place("ipc", request.ipc, joined),
        uts=uts,
        cgroup=cgroup,
        net=HOST if netns_path is None else netns_path,
        user=mapping.path if mapping.own else HOST,
        shared_memory=request.ipc != "none",
    )


def _place(kind: str, mode: str, joined: Mapping[str, str | None]) -> str:
    path = joined.get(kind)
    if path:
        return path
    if mode in ("", "private", *_EXTRA_WORDS.get(kind, ())):
        return NEW
    if mode == HOST:
        return HOST
    if mode.startswith("ns:/"):
        return mode[3:]
    option = "--cgroupns" if kind == "cgroup" else f"--{kind}"
    if mode.startswith("container:"):
        raise Usage(f"{option} {mode}: that container has no running process to join")
    raise Usage(
        f"unrecognized namespace mode {mode!r} passed to {option}",
        remedy=f"use {', '.join(('host', 'private', *_EXTRA_WORDS.get(kind, ()), 'ns:PATH', 'container:ID'))}",
    )


def choose_sysctls(request: SpecRequest, namespaces: Namespaces) -> dict[str, str]:
    """Return ``linux.sysctl``; a network namespace of its own lets the container's root ping.

    Raises:
        Usage: not KEY=VALUE.
        Refused: the value belongs to the host, or to a namespace the container shares.
    """
    chosen: dict[str, str] = {}
    if namespaces.net != HOST and namespaces.user == HOST:
        chosen["net.ipv4.ping_group_range"] = "0 0"
    for text in request.default_sysctl:
        key, separator, value = text.partition("=")
        try:
            _check_sysctl(key.strip(), namespaces)
        except Refused:
            continue
        if separator and (namespaces.user == HOST or key.strip() != "net.ipv4.ping_group_range"):
            chosen[key.strip()] = value
    for text in request.sysctl:
        for part in text.split(",") if text.count("=") > 1 else (text,):
            key, separator, value = part.partition("=")
            if not separator:
                raise Usage(f"{part} is invalid, sysctl values must be in the form of KEY=VALUE")
            _check_sysctl(key.strip(), namespaces)
            chosen[key.strip()] = value
    return chosen


def _check_sysctl(key: str, namespaces: Namespaces) -> None:
    if key.startswith("net."):
        kind, place = "network", namespaces.net
    elif key in _IPC_SYSCTLS or key.startswith("fs.mqueue."):
        kind, place = "ipc", namespaces.ipc
    elif key in _UTS_SYSCTLS:
        kind, place = "uts", namespaces.uts
    else:
        raise Refused(
            f"sysctl {key!r} belongs to the whole machine: a container can't have its own value",
            remedy=f"as root on the host: sysctl -w {key}=VALUE",
        )
    if place == HOST:
        raise Refused(f"sysctl {key!r} can't be set, since the container shares the {kind} namespace with the host")
