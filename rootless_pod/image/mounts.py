"""Images mounted read-only for whoever works inside ``rpod unshare``: ``image mount`` and ``unmount``.

A mount is seen by the processes of the user's mount namespace. Its record lies beside it; after a reboot, or when
the namespace has gone, the record is stale and the mount is nothing.
"""

from __future__ import annotations

import os

from rootless_pod.errors import Refused, RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.fuse.driver import MountedRootfs, RootfsRequest
from rootless_pod.linux.procfs import mount_points
from rootless_pod.linux.tree import remove_tree
from rootless_pod.state.lock import Lock
from rootless_pod.state.record import read_record, write_record
from rootless_pod.storage.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.oci.image import Image
    from rootless_pod.paths import Paths


class MountedImage(Frozen):
    """One image that is mounted, how often it was asked for, and where."""

    image_id: str
    path: str
    count: int
    layers: tuple[str, ...]


def mounts_directory(paths: Paths) -> str:
    """Return where images are mounted, one directory an image id."""
    return f"{paths.graphroot}/image-mounts"


def _lock(paths: Paths) -> Lock:
    return Lock(f"{paths.locks}/image-mounts.lock")


def mount_image(paths: Paths, image: Image, driver_name: str | None, *, user: str = "") -> str:
    """Mount the image's layers read-only, or count one user more, and return the path.

    With ``user`` (a container's id) the mount is for it alone and not counted.

    Raises:
        Refused: it is the image ``host``, or the driver fails.
        HostUnready: no driver works.
    """
    from rootless_pod.fuse.choose import choose_storage

    if image.is_host:
        raise Refused("image host is this machine itself: look at /", remedy="ls /")
    key = _key(image.id, user)
    directory = f"{mounts_directory(paths)}/{key}"
    with _lock(paths):
        before = _read(paths, key)
        if before is not None and user:
            return before.path
        if before is not None:
            record = read_record(f"{directory}/mount.json")
            write_record(f"{directory}/mount.json", {**record, "count": before.count + 1})
            return before.path
        _clear(directory)
        driver = choose_storage(driver_name, probes_dir=paths.probes, scratch_dir=f"{paths.graphroot}/scratch").driver
        request = _request(paths, image, directory)
        for one in (request.merged, request.upper, request.work, f"{directory}/empty"):
            os.makedirs(one, mode=0o755, exist_ok=True)
        # Written first: after a kill in between, whoever clears up knows what there was.
        record = {
            "driver": driver.name,
            "boot_id": paths.boot_id,
            "image_id": image.id,
            "layers": list(image.layers),
            "count": 1,
        }
        write_record(f"{directory}/mount.json", record)
        try:
            mounted = driver.mount(request)
        except RpodError:
            _clear(directory)
            raise
        record |= {"helper_pid": mounted.helper_pid, "helper_started": mounted.helper_started}
        write_record(f"{directory}/mount.json", record)
        return mounted.path


def _key(image_id: str, user: str) -> str:
    return f"{image_id}.{user}" if user else image_id


def _request(paths: Paths, image: Image, directory: str) -> RootfsRequest:
    return RootfsRequest(
        container_dir=directory,
        merged=f"{directory}/merged",
        upper=f"{directory}/upper",
        work=f"{directory}/work",
        lower_dirs=Store(paths).lower_dirs(image.layers) or (f"{directory}/empty",),
        read_only=True,
    )


def _clear(directory: str) -> None:
    from rootless_pod.fuse.native import detach

    if os.path.isdir(directory):
        detach(f"{directory}/merged")
        remove_tree(directory)


def _read(paths: Paths, key: str) -> MountedImage | None:
    """Return what is mounted; None where nothing is any more."""
    directory = f"{mounts_directory(paths)}/{key}"
    try:
        record = read_record(f"{directory}/mount.json")
        path = f"{directory}/merged"
        if record["boot_id"] != paths.boot_id or not _is_mounted(path):
            return None
        return MountedImage(
            image_id=key.partition(".")[0],
            path=path,
            count=int(record["count"]),
            layers=tuple(record.get("layers") or ()),
        )
    except (RpodError, KeyError, ValueError):
        return None


def _is_mounted(path: str) -> bool:
    real = os.path.realpath(path)
    return any(point == real for point, _kind, _source in mount_points())


def mounted_images(paths: Paths) -> tuple[MountedImage, ...]:
    """Return what is mounted in the mount namespace of this process, for no container."""
    try:
        names = sorted(os.listdir(mounts_directory(paths)))
    except FileNotFoundError:
        return ()
    return tuple(found for name in names if "." not in name and (found := _read(paths, name)) is not None)


def layers_of_mounts(paths: Paths) -> set[str]:
    """Return the chain ids that a record of this boot names, seen from here or not: they must stay."""
    kept: set[str] = set()
    try:
        names = os.listdir(mounts_directory(paths))
    except FileNotFoundError:
        return kept
    for name in names:
        try:
            record = read_record(f"{mounts_directory(paths)}/{name}/mount.json")
        except RpodError:
            continue
        if record.get("boot_id") == paths.boot_id:
            kept.update(record.get("layers") or ())
    return kept


def unmount_image(paths: Paths, image_id: str, *, force: bool = False, user: str = "") -> bool:
    """Count one user less and unmount with the last (``force``: now); return False where it is not mounted.

    Raises:
        Refused: something still works in it.
    """
    from rootless_pod.fuse.choose import driver_named

    key = _key(image_id, user)
    directory = f"{mounts_directory(paths)}/{key}"
    with _lock(paths):
        found = _read(paths, key)
        if found is None:
            _clear(directory)
            return False
        record = read_record(f"{directory}/mount.json")
        if found.count > 1 and not force:
            write_record(f"{directory}/mount.json", {**record, "count": found.count - 1})
            return True
        request = RootfsRequest(
            container_dir=directory,
            merged=found.path,
            upper=f"{directory}/upper",
            work=f"{directory}/work",
            lower_dirs=(),
            read_only=True,
        )
        mounted = MountedRootfs(
            path=found.path, helper_pid=record.get("helper_pid"), helper_started=record.get("helper_started")
        )
        driver_named(str(record["driver"])).unmount(request, mounted)
        _clear(directory)
        return True


def sweep_mounts(paths: Paths) -> int:
    """Remove the directories of mounts that ended with their boot; return how many."""
    try:
        names = os.listdir(mounts_directory(paths))
    except FileNotFoundError:
        return 0
    swept = 0
    with _lock(paths):
        for name in names:
            directory = f"{mounts_directory(paths)}/{name}"
            try:
                stale = read_record(f"{directory}/mount.json").get("boot_id") != paths.boot_id
            except RpodError:
                stale = not _is_mounted(f"{directory}/merged")
            if stale:
                _clear(directory)
                swept += 1
    return swept
