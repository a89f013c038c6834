"""``--filter`` of ``pod ps``, with podman's keys and meaning."""

from __future__ import annotations

from rootless_pod.container.pod.inspect import labels_of, shown_state
from rootless_pod.container.pod.lookup import STATUSES
from rootless_pod.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rootless_pod.container.pod.lookup import Pod

_ALL_OF = frozenset(("label", "label!"))
_CONTAINER_STATES = ("created", "initialized", "running", "paused", "stopping", "stopped", "exited", "removing")


def matching(found: list[Pod], conditions: Iterable[str]) -> list[Pod]:
    """Return those of ``found`` that fit: the same key twice means either (of labels: both), different keys both.

    Raises:
        Usage: an unknown key or a value that can't be meant.
    """
    by_key: dict[str, list[str]] = {}
    for condition in conditions:
        key, separator, value = condition.partition("=")
        if not separator:
            raise Usage(f"--filter {condition!r} is not KEY=VALUE", remedy=f"use one of {', '.join(sorted(_TESTS))}")
        if key not in _TESTS:
            raise Usage(f"{key} is an invalid filter", remedy=f"use one of {', '.join(sorted(_TESTS))}")
        by_key.setdefault(key, []).append(value)
    for key, values in by_key.items():
        test, quantity = _TESTS[key], all if key in _ALL_OF else any
        # Values are looked at first, so that a wrong one is told where there is no pod too.
        for value in values:
            _check(key, value)
        found = [one for one in found if quantity([test(one, value) for value in values])]
    return found


def _check(key: str, value: str) -> None:
    if key == "status" and value.lower() not in [name.lower() for name in STATUSES]:
        raise Usage(f"{value} is not a valid pod status", remedy=f"use one of {', '.join(STATUSES).lower()}")
    if key == "ctr-status" and value not in _CONTAINER_STATES:
        raise Usage(f"{value} is not a valid status", remedy=f"use one of {', '.join(_CONTAINER_STATES)}")
    if key == "ctr-number" and not value.isdigit():
        raise Usage(f"--filter ctr-number={value} is not a number")
    if key in ("name", "id", "ctr-names"):
        import re

        try:
            re.compile(value)
        except re.error as cause:
            raise Usage(f"--filter {key}={value}: not a regular expression: {cause}") from cause
    if key == "until":
        from rootless_pod.commands.image_rows import moment

        moment(value)


def _fits(pattern: str, text: str) -> bool:
    import re

    return re.search(pattern, text) is not None


def _label(one: Pod, value: str) -> bool:
    labels = labels_of(one)
    key, separator, wanted = value.partition("=")
    return key in labels and (not separator or labels[key] == wanted)


def _until(one: Pod, value: str) -> bool:
    from rootless_pod.commands.image_rows import moment

    return one.config.created_ns < moment(value) * 1_000_000_000


def _status(one: Pod, value: str) -> bool:
    return one.status.lower() == value.lower()


def _member_state(one: Pod, value: str) -> bool:
    wanted = "exited" if value == "stopped" else value
    return any(shown_state(member) == wanted for member in one.members)


def _network(one: Pod, value: str) -> bool:
    networks = [
        join.network for member in one.members if member.config.is_infra for join in member.config.request.network.joins
    ]
    return value in networks or one.config.request.network.mode.partition(":")[0] == value


_TESTS: dict[str, Callable[[Pod, str], bool]] = {
    "id": lambda one, value: one.id.startswith(value),
    "name": lambda one, value: _fits(value, one.config.name),
    "label": _label,
    "label!": lambda one, value: not _label(one, value),
    "status": _status,
    "ctr-ids": lambda one, value: any(member.id.startswith(value) for member in one.members),
    "ctr-names": lambda one, value: any(_fits(value, member.config.name) for member in one.members),
    "ctr-status": _member_state,
    "ctr-number": lambda one, value: len(one.members) == int(value),
    "network": _network,
    "until": _until,
}
