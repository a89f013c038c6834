"""Limits that cgroup v2 has no control for: what podman 4.3.1 does with them.

``run``, ``create`` and ``container clone`` go on without them and say so; ``update``, which has nothing else to
do, fails.
"""

from __future__ import annotations

from rootless_pod import log
from rootless_pod.errors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless_pod.commands.declare import Call

OF_V1 = {
    "cpu_rt_period": "realtime period",
    "cpu_rt_runtime": "realtime runtime",
    "memory_swappiness": "memory swappiness",
}
_DEFAULT = -1


def _given(call: Call) -> Iterator[tuple[str, str]]:
    for key in sorted(call.given & OF_V1.keys()):
        if call.number(key) != _DEFAULT:
            yield f"--{key.replace('_', '-')}", OF_V1[key]


def warn_of(call: Call) -> None:
    """Say which of them are left out."""
    for option, words in _given(call):
        log.warn(f"{words} not supported on cgroups V2 systems: {option} is left out")


def refuse(call: Call) -> None:
    """Refuse them (raises Refused)."""
    for option, words in _given(call):
        raise Refused(f"cannot set {words} with cgroup v2", remedy=f"leave out {option}")
