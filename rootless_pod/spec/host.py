"""What ``generate`` needs to know of this machine, read once and handed over as a value. HOT."""

from __future__ import annotations

import os
import resource

from rootless_pod.frozen import Frozen
from rootless_pod.linux.capabilities import ALL_BITS, status_bits
from rootless_pod.linux.cgroup import Delegation, find_delegation
from rootless_pod.linux.procfs import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# The number of each limit is resource.RLIMIT_NAME; the kernel has no more. Source: getrlimit(2).
LIMIT_NAMES = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
]
_LIMIT_NUMBERS = {"locks": 10, "sigpending": 11, "msgqueue": 12, "nice": 13, "rtprio": 14, "rttime": 15}


class HostFacts(Frozen):
    """One machine, as far as the spec depends on it. The defaults describe an ordinary one, for tests."""

    machine: str = "x86_64"
    hostname: str = "localhost"
    cgroups: Delegation = Delegation(layout="v2")
    capability_bits: int = ALL_BITS  # the bounding set of this process
    limits: Mapping[str, tuple[int, int]] = {}  # name → (soft, hard), -1 = unlimited; never changed
    setgroups_allowed: bool = True
    apparmor: bool = False
    selinux: bool = False
    environment: Mapping[str, str] = {}  # the caller's, never changed
    user_name: str = ""  # who runs rpod, on the host (for keep-id's passwd entry)
    user_home: str = ""


def read_host_facts() -> HostFacts:
    """Read them from /proc, /sys and getrlimit(2): well under a millisecond."""
    system = os.uname()
    environment = os.environ
    return HostFacts(
        machine=system.machine,
        hostname=system.nodename,
        cgroups=find_delegation(),
        capability_bits=status_bits("CapBnd"),
        limits=read_limits(),
        setgroups_allowed=_text("/proc/self/setgroups") != "deny",
        apparmor=_text("/sys/module/apparmor/parameters/enabled") == "Y",
        selinux=os.path.exists("/sys/fs/selinux/enforce"),
        environment=environment,
        user_name=environment.get("USER") or environment.get("LOGNAME") or "",
        user_home=environment.get("HOME") or "",
    )


def read_limits() -> dict[str, tuple[int, int]]:
    """Return soft and hard value of every resource limit; -1 is unlimited."""
    limits = {}
    for name in LIMIT_NAMES:
        number = _LIMIT_NUMBERS.get(name)
        if number is None:
            number = getattr(resource, f"RLIMIT_{name.upper()}")
        try:
            limits[name] = resource.getrlimit(number)
        except (OSError, ValueError):
            continue
    return limits


def _text(path: str) -> str:
    try:
        return read_text(path).strip()
    except OSError:
        return ""
