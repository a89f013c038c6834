"""``--filter`` of commands that list or choose containers, with podman's keys and meaning."""

from __future__ import annotations

from rootless_pod.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rootless_pod.container.lookup import Container
    from rootless_pod.paths import Paths

STATUSES = ("created", "initialized", "running", "paused", "stopping", "stopped", "exited", "removing", "unknown")


def matching(found: list[Container], conditions: Iterable[str] | object, paths: Paths | None = None) -> list[Container]:
    """Return those of ``found`` that fit: the same key twice means either, different keys mean both.

    ``paths``: where the records of their health lie, for ``health=``.

    Raises:
        Usage: an unknown key or a value that can't be meant.
    """
    by_key: dict[str, list[str]] = {}
    assert isinstance(conditions, (tuple, list))
    for condition in conditions:
        key, separator, value = condition.partition("=")
        if not separator:
            raise Usage(f"--filter {condition!r} is not KEY=VALUE", remedy=f"use one of {', '.join(sorted(_TESTS))}")
        by_key.setdefault(key, []).append(value)
    for key, values in by_key.items():
        if key == "health" and paths is not None:
            found = [one for one in found if _health(paths, one) in values]
            continue
        if key not in _TESTS:
            raise Usage(f"--filter {key!r} is not known", remedy=f"use one of {', '.join(sorted(_TESTS))}")
        test = _TESTS[key]
        ordered = sorted(found, key=lambda one: one.config.created_ns)
        fits = all if key.endswith("!") else any
        found = [one for one in found if fits(test(one, value, ordered) for value in values)]
    return found


def _label_matches(labels: dict[str, str], value: str) -> bool:
    key, separator, wanted = value.partition("=")
    return key in labels and (not separator or labels[key] == wanted)


def _name(one: Container, value: str, _all: list[Container]) -> bool:
    import re

    try:
        return re.search(value, one.config.name) is not None
    except re.error as cause:
        raise Usage(f"--filter name={value}: not a regular expression: {cause}") from cause


def _status(one: Container, value: str, _all: list[Container]) -> bool:
    if value not in STATUSES:
        raise Usage(f"--filter status={value}: no such status", remedy=f"use one of {', '.join(STATUSES)}")
    return one.status.name == ("exited" if value == "stopped" else value)


def _exited(one: Container, value: str, _all: list[Container]) -> bool:
    if not value.lstrip("-").isdigit():
        raise Usage(f"--filter exited={value}: not an exit code")
    return one.status.name == "exited" and one.status.exit_code == int(value)


def _ancestor(one: Container, value: str, _all: list[Container]) -> bool:
    name, image_id = one.config.image_name, one.config.image_id
    if len(value) >= 3 and image_id.startswith(value.removeprefix("sha256:")):
        return True
    bare = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
    return value in (name, bare) or name.endswith(f"/{value}") or bare.endswith(f"/{value}")


def _position(value: str, ordered: list[Container], key: str) -> int:
    for position, one in enumerate(ordered):
        if one.config.name == value or one.id.startswith(value):
            return position
    raise Usage(f"--filter {key}={value}: no such container")


def _before(one: Container, value: str, ordered: list[Container]) -> bool:
    return ordered.index(one) < _position(value, ordered, "before")


def _since(one: Container, value: str, ordered: list[Container]) -> bool:
    return ordered.index(one) > _position(value, ordered, "since")


def _volume(one: Container, value: str, _all: list[Container]) -> bool:
    return any(value in (mount.source, mount.target) for mount in one.config.request.mounts)


def _network(one: Container, value: str, _all: list[Container]) -> bool:
    request = one.config.request.network
    if request.joins:
        return any(join.network == value for join in request.joins)
    mode = request.mode.partition(":")[0] or str(one.state.get("network", {}).get("mode", ""))
    return mode == value


def _restart_policy(one: Container, value: str, _all: list[Container]) -> bool:
    if value not in ("", "no", "always", "on-failure", "unless-stopped"):
        raise Usage(
            f"--filter restart-policy={value}: invalid restart policy",
            remedy="use no, always, on-failure or unless-stopped",
        )
    return one.config.request.restart_policy == value


def _starts_on_boot(one: Container, value: str, _all: list[Container]) -> bool:
    if value not in ("true", "false"):
        raise Usage(f"--filter should-start-on-boot={value}: not true or false")
    policy = one.config.request.restart_policy
    starts = policy == "always" or (policy == "unless-stopped" and not one.state.get("stopped_by_user"))
    return starts == (value == "true")


def _health(paths: Paths, one: Container) -> str:
    from rootless_pod.container.health import read_health

    return str(read_health(paths, one.id).get("Status") or "") if one.config.request.health is not None else "none"


def _until(one: Container, value: str, _all: list[Container]) -> bool:
    from rootless_pod.commands.image_rows import moment

    return one.config.created_ns < moment(value) * 1_000_000_000


def _pod(one: Container, value: str, _all: list[Container]) -> bool:
    return bool(one.config.pod_id) and (one.config.pod_id.startswith(value) or one.config.request.pod == value)


_TESTS: dict[str, Callable[[Container, str, list[Container]], bool]] = {
    "id": lambda one, value, _all: one.id.startswith(value),
    "name": _name,
    "label": lambda one, value, _all: _label_matches(one.config.labels, value),
    "label!": lambda one, value, _all: not _label_matches(one.config.labels, value),
    "status": _status,
    "exited": _exited,
    "ancestor": _ancestor,
    "before": _before,
    "since": _since,
    "volume": _volume,
    "network": _network,
    "until": _until,
    "pod": _pod,
    "restart-policy": _restart_policy,
    "should-start-on-boot": _starts_on_boot,
    "command": lambda one, value, _all: bool(one.config.words) and one.config.words[0] == value,
}
