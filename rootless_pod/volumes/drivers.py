"""Volumes of every driver, made and removed: what podman's ``volume create --driver`` knows.

``volumes/NAME/driver.json`` says what a volume is beside a plain directory; a plain one has no such file.
"""

from __future__ import annotations

import os

from rootless_pod import log
from rootless_pod.errors import Conflict, HostUnready, ProgramFailed, Refused, RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.volumes import volume as store
from rootless_pod.volumes.mounted import mounts_lock, plugin_of, take_down
from rootless_pod.volumes.options import IMAGE, LOCAL, DriverOptions, parse_options
from rootless_pod.volumes.plugin import PluginMissing, configured_plugins, open_plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless_pod.paths import Paths
    from rootless_pod.volumes.volume import Volume


class BackingImage(Frozen):
    """What a volume of the driver ``image`` stands on: its id, layers (bottom first), and how they are mounted."""

    id: str
    layers: tuple[str, ...]
    storage_driver: str


class Reloaded(Frozen):
    """What ``volume reload`` did, by name, and what hindered it."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    errors: tuple[RpodError, ...] = ()


def create_driven(
    paths: Paths,
    name: str | None,
    *,
    driver: str,
    options: Mapping[str, str],
    labels: Mapping[str, str],
    image: BackingImage | None = None,
    exist_ok: bool = False,
) -> Volume:
    """Make a volume of a driver; one that its plugin has already is taken over.

    After a kill the plugin may have one that is not known here: making it again, or ``reload``, finds it.

    Raises:
        Usage, Refused: the driver has no such option.
        Conflict: there is a volume of this name.
        PluginMissing, ProgramFailed: the plugin can't be reached, or makes none.
    """
    wanted = parse_options(driver, options)
    name = store.new_name(name)
    if driver in (LOCAL, IMAGE):
        return _create_own(paths, name, driver, wanted, labels, image, exist_ok=exist_ok)
    if store.exists(paths, name):
        if exist_ok:
            return store.read(paths, name)
        raise Conflict(f"volume with name {name} already exists: volume already exists", remedy="use another name")
    try:
        plugin = open_plugin(driver, timeout_seconds=wanted.timeout_seconds or None)
    except PluginMissing as cause:
        raise PluginMissing(
            f"volume {name} uses volume plugin {driver} but it could not be retrieved: {cause.message}",
            remedy=cause.remedy,
        ) from cause
    try:
        plugin.find(name)
    except ProgramFailed:
        try:
            plugin.create(name, wanted.options)
        except ProgramFailed as cause:
            raise ProgramFailed(
                f'creating volume "{name}" in plugin {driver}: {cause.message}', remedy=cause.remedy
            ) from cause
    detail = {"socket": plugin.socket, "timeout_seconds": plugin.timeout_seconds}
    return _create(paths, name, _record(driver, wanted, detail), labels, exist_ok=exist_ok)


def _create_own(
    paths: Paths,
    name: str,
    driver: str,
    wanted: DriverOptions,
    labels: Mapping[str, str],
    image: BackingImage | None,
    *,
    exist_ok: bool,
) -> Volume:
    detail: dict[str, Any] = {}
    if image is not None:
        detail = {"image_id": image.id, "layers": list(image.layers), "storage_driver": image.storage_driver}
    plain = driver == LOCAL and not wanted.options
    return _create(paths, name, None if plain else _record(driver, wanted, detail), labels, exist_ok=exist_ok)


def _record(driver: str, wanted: DriverOptions, detail: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "driver": driver,
        "options": wanted.options,
        "uid": wanted.uid,
        "gid": wanted.gid,
        "timeout_seconds": wanted.timeout_seconds,
        "is_mounted": driver != LOCAL or wanted.needs_mount,
        **detail,
    }


def _create(
    paths: Paths, name: str, record: dict[str, Any] | None, labels: Mapping[str, str], *, exist_ok: bool
) -> Volume:
    return store.create(paths, name, labels=labels, driven=record, exist_ok=exist_ok)


def put_away(paths: Paths, name: str, aside: str) -> RpodError | None:
    """Unmount a driver's volume, have its plugin remove it, and move its directory to ``aside``.

    Nobody mounts it in between. Return the error of a plugin that is not there or does not know it: the volume goes
    here all the same.

    Raises:
        Refused: it stays mounted.
        ProgramFailed: the plugin does not remove it; it stays.
    """
    with mounts_lock(paths, name):
        try:
            volume: Volume | None = store.read(paths, name)
        except RpodError:
            volume = None
        problem = None
        if volume is None or volume.driver in (LOCAL, IMAGE):
            take_down(paths, name)
        else:
            problem = _remove_in_plugin(paths, volume)
        os.rename(f"{paths.volumes}/{name}", aside)
    return problem


def _remove_in_plugin(paths: Paths, volume: Volume) -> RpodError | None:
    name = volume.name
    try:
        plugin = plugin_of(volume)
        plugin.find(name)
    except (PluginMissing, ProgramFailed) as cause:
        try:
            take_down(paths, name)
        except RpodError as error:
            log.debug(error.message)
        return HostUnready(
            f"volume {name} could not be retrieved from plugin {volume.driver}, but it has been removed here:"
            f" {cause.message}",
            remedy=f"if the plugin {volume.driver} still has it, remove it there",
        )
    take_down(paths, name)
    try:
        plugin.remove(name)
    except ProgramFailed as cause:
        raise ProgramFailed(
            f"volume {name} could not be removed from plugin {volume.driver}: {cause.message}", remedy=cause.remedy
        ) from cause
    return None


def reload(paths: Paths, used: Mapping[str, tuple[str, ...]]) -> Reloaded:
    """Take over the volumes that plugins have, and drop those they have no more (but none that a container uses)."""
    added: list[str] = []
    removed: list[str] = []
    errors: list[RpodError] = []
    known = {one.name: one for one in store.list_volumes(paths)}
    for driver in sorted(configured_plugins()):
        try:
            plugin = open_plugin(driver)
            names = plugin.list_names()
        except RpodError as error:
            errors.append(error)
            continue
        detail = {"socket": plugin.socket, "timeout_seconds": plugin.timeout_seconds}
        for name in names:
            try:
                if _take_over(paths, name, driver, known, detail):
                    added.append(name)
            except RpodError as error:
                errors.append(error)
        for name in sorted(one.name for one in known.values() if one.driver == driver and one.name not in names):
            try:
                _drop(paths, name, used.get(name, ()))
                removed.append(name)
            except RpodError as error:
                errors.append(error)
    return Reloaded(added=tuple(added), removed=tuple(removed), errors=tuple(errors))


def _take_over(paths: Paths, name: str, driver: str, known: Mapping[str, Volume], detail: Mapping[str, Any]) -> bool:
    if name in known:
        if known[name].driver != driver:
            raise Conflict(
                f"volume {name} of plugin {driver} has the name of a volume of driver {known[name].driver}",
                remedy=f"remove the other one: rpod volume rm {name}",
            )
        return False
    _create(paths, store.new_name(name), _record(driver, DriverOptions(), detail), {}, exist_ok=False)
    return True


def _drop(paths: Paths, name: str, users: tuple[str, ...]) -> None:
    try:
        store.remove(paths, name, used_by=users)
    except HostUnready as expected:
        if store.exists(paths, name):
            raise expected from None


def give_directory(path: str, uid: int, gid: int) -> None:
    """Give a new volume's directory to the ids its options name (raises Refused where they are not ours)."""
    try:
        os.chown(path, uid, gid)
    except (OSError, OverflowError) as cause:
        reason = getattr(cause, "strerror", None) or "no id is as large as that"
        raise Refused(
            f"cannot give the volume to {uid}:{gid}: {reason}",
            remedy="choose ids that you have; see: rpod unshare cat /proc/self/uid_map",
        ) from cause
