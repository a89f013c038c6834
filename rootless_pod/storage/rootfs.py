"""A container's root file system: mounted from its image's layers, unmounted and removed by any later process."""

from __future__ import annotations

import os

from rootless_pod.errors import Corrupt, Refused
from rootless_pod.frozen import Frozen
from rootless_pod.fuse.driver import IdShift, MountedRootfs, RootfsRequest
from rootless_pod.storage.lowers import lower_dirs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless_pod.fuse.driver import StorageDriver
    from rootless_pod.oci.image import Image
    from rootless_pod.paths import Paths

_WITH_OPTIONS = ("overlay", "fuse-overlayfs")


class RootfsRecord(Frozen):
    """What a later process needs to unmount: kept in the container's state, without absolute paths.

    ``boot_id`` ends the claim: after a reboot nothing is mounted, whatever the record says.
    """

    driver: str
    boot_id: str
    helper_pid: int | None = None
    helper_started: int | None = None
    volatile: bool = False
    is_host: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the value as a JSON object."""
        return self.as_dict()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RootfsRecord:
        """Read what ``to_json`` returned; keys of a newer version are ignored.

        Raises:
            Corrupt: a key is missing.
        """
        try:
            return cls(
                driver=str(values["driver"]),
                boot_id=str(values["boot_id"]),
                helper_pid=values.get("helper_pid"),
                helper_started=values.get("helper_started"),
                volatile=bool(values.get("volatile", False)),
                is_host=bool(values.get("is_host", False)),
            )
        except KeyError as cause:
            raise Corrupt(f"the record of a root file system lacks {cause}", remedy="run: rpod rm -f") from cause


class Rootfs(Frozen):
    """A mounted root file system: ``path`` goes into the bundle, ``record`` into the container's state."""

    path: str
    upper: str
    record: RootfsRecord


def merged_path(container_dir: str) -> str:
    """Return where a container's root file system is mounted."""
    return f"{container_dir}/merged"


def upper_path(container_dir: str) -> str:
    """Return where a container's own changes are stored."""
    return f"{container_dir}/upper"


def mount_rootfs(
    *,
    paths: Paths,
    container_id: str,
    image: Image | None,
    driver: StorageDriver,
    lower: str = "",
    read_only: bool = False,
    id_shift: IdShift | None = None,
    volatile: bool = False,
    options: tuple[str, ...] = (),
) -> Rootfs:
    """Mount the layers of ``image`` with the container's writable directory on top; ``lower`` stands in for an image.

    The container's directory exists. After a failure nothing is mounted.

    Raises:
        Corrupt: a layer of the image is not in the store.
        HostUnready, Refused, ProgramFailed: the driver can't mount it.
    """
    container_dir = paths.container(container_id)
    if options and driver.name not in _WITH_OPTIONS:
        raise Refused(
            f"storage driver {driver.name} takes no options ({', '.join(options)})",
            remedy=f"leave out --storage-opt, or use --storage-driver {' or '.join(_WITH_OPTIONS)}",
        )
    request = _request(container_dir, read_only=read_only, id_shift=id_shift, volatile=volatile)
    request = request.replace(options=options)
    for directory in (request.merged, request.upper, request.work):
        os.makedirs(directory, mode=0o755, exist_ok=True)
    if image is None:
        mounted = driver.mount(request.replace(lower_dirs=(lower,)))
    elif image.is_host:
        from rootless_pod.fuse.host import mount_host

        mounted = mount_host(
            request, driver, hidden=(paths.graphroot, paths.runroot), skeleton_dir=f"{paths.bootroot}/host-skeleton"
        )
    else:
        lower_dirs = (lower,) if image is None else _layers(paths, image, container_dir)
        mounted = driver.mount(request.replace(lower_dirs=lower_dirs))
    record = RootfsRecord(
        driver=driver.name,
        boot_id=paths.boot_id,
        helper_pid=mounted.helper_pid,
        helper_started=mounted.helper_started,
        volatile=volatile,
        is_host=image is not None and image.is_host,
    )
    return Rootfs(path=mounted.path, upper=request.upper, record=record)


def _request(container_dir: str, *, read_only: bool, id_shift: IdShift | None, volatile: bool) -> RootfsRequest:
    return RootfsRequest(
        container_dir=container_dir,
        merged=merged_path(container_dir),
        upper=upper_path(container_dir),
        work=f"{container_dir}/work",
        lower_dirs=(),
        read_only=read_only,
        id_shift=id_shift,
        volatile=volatile,
    )


def _layers(paths: Paths, image: Image, container_dir: str) -> tuple[str, ...]:
    """Return the directories of the layers, top first; an image without layers gets one empty directory."""
    directories = lower_dirs(paths.layer_roots, image.layers)
    for directory in directories:
        if not os.path.isdir(directory):
            raise Corrupt(f"a layer of image {image.id[:12]} is missing: {directory}", remedy="pull the image again")
    if directories:
        return directories
    os.makedirs(f"{container_dir}/empty", mode=0o755, exist_ok=True)
    return (f"{container_dir}/empty",)


def unmount_rootfs(paths: Paths, container_id: str, record: RootfsRecord | Mapping[str, Any]) -> None:
    """Unmount what ``record`` (or its JSON) describes and end its helper.

    Idempotent, also after a reboot or a killed helper.

    Raises:
        Refused: the kernel keeps it mounted.
        Corrupt: the JSON is not that of a record.
    """
    if not isinstance(record, RootfsRecord):
        record = RootfsRecord.from_json(record)
    container_dir = paths.container(container_id)
    this_boot = record.boot_id == paths.boot_id
    mounted = MountedRootfs(
        path=merged_path(container_dir),
        helper_pid=record.helper_pid if this_boot else None,
        helper_started=record.helper_started if this_boot else None,
    )
    request = _request(container_dir, read_only=False, id_shift=None, volatile=record.volatile)
    if record.is_host:
        from rootless_pod.fuse.host import unmount_host

        unmount_host(request, mounted)
        return
    from rootless_pod.fuse.choose import driver_named

    driver_named(record.driver).unmount(request, mounted)


def rootfs_is_mounted(*, paths: Paths, container_id: str) -> bool:
    """Tell whether a file system (alive or not) is mounted at the container's root."""
    from rootless_pod.linux.procfs import mount_points

    where = os.path.realpath(merged_path(paths.container(container_id)))
    return any(point == where for point, _kind, _source in mount_points())


def remove_rootfs(container_dir: str) -> None:
    """Unmount whatever is left and remove the container's directory, work directories included; idempotent.

    Nothing outside it is touched: symbolic links are not followed, mount points not entered.

    Raises:
        Refused: something stays mounted or can't be removed; the message names it.
    """
    from rootless_pod.fuse.native import detach
    from rootless_pod.linux.tree import remove_tree

    detach(merged_path(container_dir))
    try:
        remove_tree(container_dir)
    except OSError as error:
        raise Refused(
            f"cannot remove {error.filename or container_dir}: {error.strerror}",
            remedy="run: rpod unshare rm -rf PATH, with the path named above",
        ) from error
