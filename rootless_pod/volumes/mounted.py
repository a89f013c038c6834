"""Volumes that are mounted for those who use them: from an image, by a plugin, or by mount(8).

Who uses one is a file each in the runtime directory, ``volumes/users/USER/VOLUME``, and what is mounted a record,
``volumes/mounted/VOLUME``: both end with the boot, as the mounts do. A user is a container's id, ``BY_HAND`` (whose
file holds a count), or ``pid-NUMBER-STARTED`` of a command that looks into the volume. The first user has it mounted,
with the last one it is unmounted; after a kill anywhere the next of either finds what there is.
"""

from __future__ import annotations

import os

from rootless_pod import log
from rootless_pod.errors import NotFound, ProgramFailed, Refused, RpodError
from rootless_pod.fuse.choose import driver_named
from rootless_pod.fuse.driver import MountedRootfs, RootfsRequest
from rootless_pod.fuse.native import detach
from rootless_pod.linux.procfs import is_alive, mount_points, start_time
from rootless_pod.linux.tree import empty_tree
from rootless_pod.programs.run import check, run
from rootless_pod.state.lock import Lock
from rootless_pod.state.record import read_record, write_bytes, write_record
from rootless_pod.storage.store import Store
from rootless_pod.volumes import volume as store
from rootless_pod.volumes.copyup import copy_directory
from rootless_pod.volumes.options import IMAGE, LOCAL, copies_up, mount_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from rootless_pod.paths import Paths
    from rootless_pod.volumes.plugin import Plugin
    from rootless_pod.volumes.resolve import MountRequest
    from rootless_pod.volumes.volume import Volume

BY_HAND = "by-hand"
_COMMAND = "pid-"
_NOT_MOUNTED_EXIT_CODE = 126


def with_mounts(
    paths: Paths, user: str, requests: Iterable[MountRequest], rootfs: str | None
) -> tuple[MountRequest, ...]:
    """Have the volumes of other drivers among ``requests`` mounted for ``user``, and say in each where.

    A new one is filled from ``rootfs``. After a failure ``let_go_all`` puts away what was mounted.

    Raises:
        RpodError: one could not be mounted.
    """
    return tuple(
        one.replace(mounted=_hold_and_fill(paths, user, one, rootfs))
        if one.kind == "volume" and one.source and store.is_driven(paths, one.source)
        else one
        for one in requests
    )


def _hold_and_fill(paths: Paths, user: str, request: MountRequest, rootfs: str | None) -> str:
    found = store.read(paths, request.source)
    path = hold(paths, found, user)
    if rootfs is not None and request.copy_up and found.needs_copy_up:
        _fill(paths, found, path, rootfs, request.target)
    return path


def hold(paths: Paths, volume: Volume, user: str) -> str:
    """Have a volume mounted for one user more and return where.

    Raises:
        NotFound: it was removed meanwhile.
        RpodError: it could not be mounted; the user is none.
    """
    place = f"{_users(paths)}/{user}"
    with mounts_lock(paths, volume.name):
        if not store.exists(paths, volume.name):
            raise NotFound(f"volume {volume.name} was removed meanwhile", remedy="create it again: rpod volume create")
        os.makedirs(place, mode=0o700, exist_ok=True)
        before = _count(f"{place}/{volume.name}")
        write_bytes(f"{place}/{volume.name}", str(before + 1 if user == BY_HAND else 1).encode())
        try:
            record = _mounted(paths, volume) or _mount(paths, volume)
        except RpodError:
            if not before:
                _forget_user(paths, user, volume.name)
            raise
        return str(record["path"])


def let_go(paths: Paths, name: str, user: str, *, whole: bool = False) -> None:
    """Take one use of a volume back (``whole``: all of this user) and unmount it with the last; none is fine.

    Raises:
        RpodError: it could not be unmounted; nobody uses it all the same.
    """
    with mounts_lock(paths, name):
        file = f"{_users(paths)}/{user}/{name}"
        left = _count(file) - 1
        if left > 0 and user == BY_HAND and not whole:
            write_bytes(file, str(left).encode())
            return
        _forget_user(paths, user, name)
        if not count_users(paths, name):
            _unmount(paths, name)


def let_go_all(paths: Paths, user: str) -> None:
    """Take back every use of one user; each by itself: one that fails does not keep the others."""
    directory = f"{_users(paths)}/{user}"
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        try:
            let_go(paths, name, user, whole=True)
        except RpodError as error:
            log.warn(f"volume {name}: {error.message}")


def take_down(paths: Paths, name: str) -> None:
    """Unmount a volume whoever uses it, before it is removed; the caller holds its ``mounts_lock``.

    Raises:
        Refused: it stays mounted.
        RpodError: its plugin could not unmount it.
    """
    for user in _user_names(paths):
        _forget_user(paths, user, name)
    _unmount(paths, name)


def where(paths: Paths, volume: Volume) -> str:
    """Return where a volume is mounted now, "" where a plugin has it unmounted."""
    record = _read(paths, volume.name)
    if record is not None:
        return str(record["path"])
    return volume.path if volume.driver in (LOCAL, IMAGE) else ""


def count_users(paths: Paths, name: str) -> int:
    """Return how many uses of a volume there are; those of commands that were killed are none."""
    users = 0
    for user in _user_names(paths):
        if user.startswith(_COMMAND) and not _lives(user):
            _forget_user(paths, user, name)
            continue
        users += _count(f"{_users(paths)}/{user}/{name}")
    return users


def _lives(user: str) -> bool:
    """Tell whether the command of that name is still there, and no other process that has its number now."""
    pid, _dash, started = user.removeprefix(_COMMAND).partition("-")
    return pid.isdigit() and started.isdigit() and is_alive(int(pid), int(started))


def container_users(paths: Paths) -> Iterator[str]:
    """Yield the users that are containers."""
    return (user for user in _user_names(paths) if user != BY_HAND and not user.startswith(_COMMAND))


class Opened:
    """A context in which a volume's files can be reached at the path it gives, mounted for this process if need be."""

    def __init__(self, paths: Paths, volume: Volume) -> None:
        """Name the volume; nothing is mounted yet."""
        self._paths, self._volume = paths, volume
        self._user = f"{_COMMAND}{os.getpid()}-{start_time(os.getpid())}"

    def __enter__(self) -> str:
        """Have it mounted."""
        if not store.is_driven(self._paths, self._volume.name):
            return self._volume.path
        return hold(self._paths, self._volume, self._user)

    def __exit__(self, *_error: object) -> None:
        """Let go of it."""
        if store.is_driven(self._paths, self._volume.name):
            let_go(self._paths, self._volume.name, self._user)


def plugin_of(volume: Volume) -> Plugin:
    """Return the plugin that has a volume.

    Raises:
        PluginMissing: it is not there.
    """
    from rootless_pod.volumes.plugin import open_plugin

    return open_plugin(
        volume.driver,
        known_socket=str(volume.detail.get("socket") or ""),
        timeout_seconds=volume.detail.get("timeout_seconds") or None,
    )


def _users(paths: Paths) -> str:
    return paths.volume_users


def _user_names(paths: Paths) -> list[str]:
    try:
        return sorted(os.listdir(_users(paths)))
    except FileNotFoundError:
        return []


def _record(paths: Paths, name: str) -> str:
    return f"{os.path.dirname(_users(paths))}/mounted/{name}"


def mounts_lock(paths: Paths, name: str) -> Lock:
    """Return the lock under which a volume is mounted, unmounted and removed."""
    directory = f"{os.path.dirname(_users(paths))}/locks"
    os.makedirs(directory, mode=0o700, exist_ok=True)
    return Lock(f"{directory}/{name}")


def _count(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read() or 1)
    except (OSError, ValueError):
        return 0


def _forget_user(paths: Paths, user: str, name: str) -> None:
    try:
        os.unlink(f"{_users(paths)}/{user}/{name}")
    except FileNotFoundError:
        pass
    try:
        os.rmdir(f"{_users(paths)}/{user}")
    except OSError:
        pass  # it uses others too, or is gone


def _read(paths: Paths, name: str) -> dict[str, Any] | None:
    try:
        return read_record(_record(paths, name))
    except RpodError:
        return None


def _mounted(paths: Paths, volume: Volume) -> dict[str, Any] | None:
    """Return the record of a mount that is there."""
    record = _read(paths, volume.name)
    if record is None or not record.get("point"):
        return record
    return record if _is_mounted(record["point"]) else None


def _is_mounted(path: str) -> bool:
    real = os.path.realpath(path)
    return any(point == real for point, _kind, _source in mount_points())


def _mount(paths: Paths, volume: Volume) -> dict[str, Any]:
    """Mount and note it; ``point`` in the record is what the kernel must show."""
    if volume.driver == IMAGE:
        record = _mount_image(paths, volume)
    elif volume.driver == LOCAL:
        record = _mount_local(volume)
    else:
        record = {"path": plugin_of(volume).mount(volume.name), "point": ""}
    os.makedirs(os.path.dirname(_record(paths, volume.name)), mode=0o700, exist_ok=True)
    write_record(_record(paths, volume.name), record)
    return record


def _mount_local(volume: Volume) -> dict[str, Any]:
    options, words = volume.options, mount_words(volume.options)
    detach(volume.path)
    kind, device = options.get("type", ""), options.get("device", "")
    argv = ["mount", *(["-t", kind] if kind else []), *(["-o", ",".join(words)] if words else [])]
    try:
        check(run([*argv, device or kind or "none", volume.path]), f"mounting volume {volume.name}")
    except ProgramFailed as cause:
        raise Refused(
            cause.message,
            remedy="a user may mount tmpfs, and directories of their own with --opt type=none --opt o=bind",
            exit_code=_NOT_MOUNTED_EXIT_CODE,
        ) from cause
    return {"path": volume.path, "point": volume.path}


def _mount_image(paths: Paths, volume: Volume) -> dict[str, Any]:
    request = _image_request(paths, volume)
    detach(request.merged)
    for path in (request.upper, request.work, f"{request.container_dir}/empty"):
        os.makedirs(path, mode=0o755, exist_ok=True)
    driver = driver_named(str(volume.detail["storage_driver"]))
    mounted = driver.mount(request)
    return {
        "path": mounted.path,
        "point": mounted.path if _is_mounted(mounted.path) else "",
        "helper_pid": mounted.helper_pid,
        "helper_started": mounted.helper_started,
    }


def _image_request(paths: Paths, volume: Volume) -> RootfsRequest:
    directory = os.path.dirname(volume.path)
    layers = Store(paths).lower_dirs(tuple(volume.detail.get("layers") or ()))
    return RootfsRequest(
        container_dir=directory,
        merged=volume.path,
        upper=f"{directory}/upper",
        work=f"{directory}/work",
        lower_dirs=layers or (f"{directory}/empty",),
    )


def _unmount(paths: Paths, name: str) -> None:
    """Unmount a volume nobody uses. What can't be unmounted has no record any more either: the next mounts it anew."""
    record = _read(paths, name)
    try:
        volume = store.read(paths, name)
    except RpodError:
        volume = None
    try:
        if volume is None or volume.driver == LOCAL:
            point = f"{paths.volumes}/{name}/_data"
            if _is_mounted(point):
                detach(point)
        elif volume.driver == IMAGE:
            helper = record or {}
            mounted = MountedRootfs(
                path=helper.get("path") or volume.path,
                helper_pid=helper.get("helper_pid"),
                helper_started=helper.get("helper_started"),
            )
            driver_named(str(volume.detail["storage_driver"])).unmount(_image_request(paths, volume), mounted)
        elif record is not None:
            plugin_of(volume).unmount(name)
    finally:
        if record is not None:
            os.unlink(_record(paths, name))


def _fill(paths: Paths, volume: Volume, path: str, rootfs: str, target: str) -> None:
    """Copy what the image has at ``target`` into a new, empty volume where it is mounted.

    A copy that was cut short is known by its mark, and made again.
    """
    directory = f"{paths.volumes}/{volume.name}"
    record_path, mark = f"{directory}/volume.json", f"{directory}/filling"
    try:
        with Lock(f"{directory}/lock"):
            record = read_record(record_path)
            if not record.get("needs_copy_up"):
                return
            if volume.driver != IMAGE and copies_up(volume.options):
                if os.path.exists(mark):
                    empty_tree(path)
                if not os.listdir(path):
                    write_bytes(mark, b"")
                    copy_directory(rootfs, target, path)
                    if volume.detail.get("uid") or volume.detail.get("gid"):
                        os.chown(path, volume.detail["uid"], volume.detail["gid"])
            write_record(record_path, {**record, "needs_copy_up": False})
            if os.path.exists(mark):
                os.unlink(mark)
    except OSError as cause:
        raise Refused(
            f"cannot fill the volume {volume.name} from {target} of the image: {cause.strerror}",
            remedy="use the option nocopy",
        ) from cause
