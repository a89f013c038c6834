"""What ``volume ls`` and ``volume inspect`` say of a volume, and which volumes filters mean."""

from __future__ import annotations

from rootless_pod.errors import RpodError, Usage
from rootless_pod.jsontext import Map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from rootless_pod.paths import Paths
    from rootless_pod.volumes.volume import Volume

    Users = Mapping[str, tuple[str, ...]]

KEYS = ("after", "anonymous", "dangling", "driver", "label", "label!", "name", "opt", "scope", "since", "until")


def as_json(volume: Volume) -> dict[str, Any]:
    """Return podman's object."""
    from rootless_pod.oci.moments import rfc3339

    detail, driven = volume.detail, volume.detail.get("state") or {}
    owners = {key.upper(): detail[key] for key in ("uid", "gid") if detail.get(key)}
    return {
        "Name": volume.name,
        "Driver": volume.driver,
        "Mountpoint": driven.get("path", volume.path),
        "CreatedAt": rfc3339(volume.created_ns),
        **({"Status": Map(driven["status"])} if driven.get("status") else {}),
        "Labels": Map(volume.labels),
        "Scope": "local",
        "Options": Map(volume.options),
        **owners,
        **({"Anonymous": True} if volume.anonymous else {}),
        "MountCount": driven.get("users", 0),
        **({"NeedsCopyUp": True} if volume.needs_copy_up else {}),
        **({"NeedsChown": True} if volume.needs_copy_up and not owners else {}),
        **({"Timeout": detail["timeout_seconds"]} if detail.get("socket") else {}),
    }


def with_state(paths: Paths, volume: Volume, *, ask: bool = False) -> Volume:
    """Return a volume of a driver with how it is mounted and, where its plugin is asked, what that says of it.

    Raises:
        PluginMissing, ProgramFailed: the plugin can't be asked, or has it no more.
    """
    if not volume.detail:
        return volume
    from rootless_pod.volumes.mounted import count_users, plugin_of, where

    state: dict[str, Any] = {"path": where(paths, volume), "users": count_users(paths, volume.name)}
    if ask and volume.detail.get("socket"):
        try:
            state["status"] = plugin_of(volume).find(volume.name).status
        except RpodError as cause:
            cause.message = f"retrieving volume {volume.name} information from plugin {volume.driver}: {cause.message}"
            raise
    return volume.replace(detail={**volume.detail, "state": state})


def matching(volumes: list[Volume], conditions: tuple[str, ...], users: Users) -> list[Volume]:
    """Return those that fit: the same key twice means either (labels: both), different keys mean both.

    Raises:
        Usage: an unknown key or a value that can't be meant.
    """
    by_key: dict[str, list[str]] = {}
    for condition in conditions:
        key, separator, value = condition.partition("=")
        if not separator or key not in KEYS:
            raise Usage(f"--filter {condition!r} is not known", remedy=f"use KEY=VALUE, KEY one of {', '.join(KEYS)}")
        by_key.setdefault(key, []).append(value)
    found = volumes
    for key, values in by_key.items():
        tests = [_test(key, value, volumes, users) for value in values]
        combine = all if key.startswith("label") else any
        found = [one for one in found if combine(test(one) for test in tests)]
    return found


def _test(key: str, value: str, volumes: list[Volume], users: Users) -> Callable[[Volume], bool]:
    if key in ("label", "label!"):
        return lambda one: _has(one.labels, value) == (key == "label")
    if key in ("dangling", "anonymous"):
        truth = _truth(key, value)
        if key == "dangling":
            return lambda one: (one.name not in users) == truth
        return lambda one: one.anonymous == truth
    if key in ("since", "after", "until"):
        limit = _moment(key, value, volumes)
        return (lambda one: one.created_ns < limit) if key == "until" else (lambda one: one.created_ns > limit)
    if key == "name":
        return lambda one: value in one.name
    if key == "opt":
        return lambda one: _has(one.options, value)
    if key == "driver":
        return lambda one: one.driver == value
    return lambda _one: value == "local"


def _has(pairs: Mapping[str, str], condition: str) -> bool:
    """Tell whether there is such a key, or such a ``KEY=VALUE``."""
    name, separator, wanted = condition.partition("=")
    return name in pairs and (not separator or pairs[name] == wanted)


def _truth(key: str, value: str) -> bool:
    if value.lower() in ("true", "1", "t"):
        return True
    if value.lower() in ("false", "0", "f"):
        return False
    raise Usage(f"--filter {key}={value}: not true or false")


def _moment(key: str, value: str, volumes: list[Volume]) -> float:
    if key == "until":
        from rootless_pod.commands.image_rows import moment

        return moment(value) * 1e9
    for one in volumes:
        if one.name == value:
            return one.created_ns
    raise Usage(f"--filter {key}={value}: no such volume", remedy="see: rpod volume ls")
