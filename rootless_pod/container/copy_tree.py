"""The trees files are copied between: the host's, and a container's, running or not.

A running container is entered through ``/proc/PID/root``, so its volumes and tmpfs are seen. One that does not run is
mounted for this process alone, in a mount namespace of its own, under the container's lock: nobody else sees that
mount, and it vanishes with this process however it ends.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod

from rootless_pod import log
from rootless_pod.container.lookup import read
from rootless_pod.errors import Refused
from rootless_pod.frozen import Frozen
from rootless_pod.fuse.driver import OVERFLOW_ID
from rootless_pod.linux import procfs
from rootless_pod.linux.inroot import make_directories_in_root, open_in_root
from rootless_pod.state.containers import ContainerLock
from rootless_pod.userns.idmap import IdRange, parse_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.spec.rootless import UserMapping

_PATH_ONLY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Ids(Frozen):
    """How the ids of a tree's own user namespace lie in the user's one; without ranges they are the same."""

    uids: tuple[IdRange, ...] = ()
    gids: tuple[IdRange, ...] = ()

    def to_ours(self, uid: int, gid: int) -> tuple[int, int]:
        """Return ids of the container as ids of the user's namespace."""
        return _mapped(self.uids, uid, inward=False), _mapped(self.gids, gid, inward=False)

    def to_theirs(self, uid: int, gid: int) -> tuple[int, int]:
        """Return ids of the user's namespace as the container sees them."""
        return _mapped(self.uids, uid, inward=True), _mapped(self.gids, gid, inward=True)


def _mapped(ranges: tuple[IdRange, ...], number: int, *, inward: bool) -> int:
    if not ranges:
        return number
    for one in ranges:
        start, target = (one.host_id, one.container_id) if inward else (one.container_id, one.host_id)
        if start <= number < start + one.size:
            return target + number - start
    return OVERFLOW_ID


class Tree(ABC):
    """One root directory that paths are resolved in. Close it (or leave its block) when done."""

    name = "the host"

    @abstractmethod
    def open(self, path: str, flags: int) -> int:
        """Open ``path``; symbolic links are followed as a process of this tree would (raises OSError)."""

    def ids(self) -> Ids:
        """Return how ids are mapped."""
        return Ids()

    def close(self) -> None:  # noqa: B027 - a tree that holds nothing has nothing to give back
        """Give everything back; idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class HostTree(Tree):
    """The machine's own tree; relative paths count from the working directory."""

    def open(self, path: str, flags: int) -> int:
        """Open ``path`` as the kernel does."""
        return os.open(path, flags | os.O_CLOEXEC)


class ContainerTree(Tree):
    """A container's root, running or not."""

    def __init__(self, context: Context, container: Container, *, volumes: bool = True) -> None:
        """Open the root of a running container, or mount that of another (``volumes``: with those of its own).

        Raises:
            Refused: the process of the container may not be looked into.
            RpodError: the root file system can't be mounted.
        """
        self._context = context
        self._lock: ContainerLock | None = None
        self._mounted: dict[str, Any] = {}
        self._guard: _Guard | None = None
        self._volumes = volumes
        self.container = container
        self.name = f"container {container.config.name}"
        try:
            self.fd = self._open_running() if container.status.is_made else self._open_stopped()
        except BaseException:
            self.close()
            raise

    @property
    def root(self) -> str:
        """A path that leads to the root directory, whatever mount namespace it is in."""
        return f"/proc/self/fd/{self.fd}"

    def open(self, path: str, flags: int) -> int:
        """Open ``path`` as if the container's root were ours."""
        return open_in_root(self.root, path, flags)

    def _open_running(self) -> int:
        status, state = self.container.status, self.container.state
        try:
            fd = os.open(f"/proc/{status.pid}/root", _PATH_ONLY)
        except OSError as cause:
            raise Refused(
                f"cannot look into {self.name}: {cause.strerror}",
                remedy=f"stop it first: rpod stop {self.container.config.name}",
            ) from cause
        if not procfs.is_alive(status.pid, state.get("pid_started")):
            os.close(fd)
            self.container = read(self._context.paths, self.container.id)
            return self._open_stopped()
        return fd

    def _open_stopped(self) -> int:
        from rootless_pod.container.cleanup import settle

        context, container_id = self._context, self.container.id
        lock = ContainerLock(context.paths, container_id)
        lock.acquire()
        self._lock = lock
        self.container = settle(context, read(context.paths, container_id))
        if self.container.status.is_made:
            lock.release()
            return self._open_running()
        return os.open(self._mount(), _PATH_ONLY)

    def _mount(self) -> str:
        from rootless_pod.container.mounts import where
        from rootless_pod.container.prepare import image_of, mount
        from rootless_pod.storage.rootfs import rootfs_is_mounted

        context, config = self._context, self.container.config
        leave_shared_mounts()
        if "shown" in self.container.state and rootfs_is_mounted(paths=context.paths, container_id=config.id):
            path = where(context, self.container)
            for one in shown_volumes(context, self.container) if self._volumes else ():
                _bind_volume(path, *one)
            return path
        image = image_of(context, config)
        self._mounted = dict(self.container.state)
        path = mount(context, config, image, self._mounted)
        record = self._mounted.get("rootfs")
        if record and record.get("helper_pid"):
            self._guard = _Guard(self.take_down)
        for one in shown_volumes(context, self.container) if self._volumes else ():
            _bind_volume(path, *one)
        return path

    def take_down(self) -> None:
        """Unmount the root file system and end its helper; idempotent."""
        record = self._mounted.pop("rootfs", None)
        if record:
            from rootless_pod.container.drivers import unmount_path
            from rootless_pod.storage.rootfs import unmount_rootfs

            root = f"{self._context.paths.container(self.container.id)}/merged"
            for point, _kind, _source in reversed(procfs.mount_points()):
                if point.startswith(f"{root}/"):
                    unmount_path(point)
            unmount_rootfs(self._context.paths, self.container.id, record)

    def close(self) -> None:
        """Unmount what was mounted and give the lock back."""
        if getattr(self, "fd", -1) >= 0:
            os.close(self.fd)
            self.fd = -1
        if self._guard is not None:
            self._guard.dismiss()
            self._mounted.pop("rootfs", None)
            self._guard = None
        try:
            self.take_down()
        finally:
            if self._lock is not None:
                self._lock.release()

    def ids(self) -> Ids:
        """Return how the container's ids are mapped into the user's namespace."""
        status = self.container.status
        if status.is_made and status.pid:
            try:
                if os.stat(f"/proc/{status.pid}/ns/user").st_ino == os.stat("/proc/self/ns/user").st_ino:
                    return Ids()
                uids = parse_map(procfs.read_text(f"/proc/{status.pid}/uid_map"))
                gids = parse_map(procfs.read_text(f"/proc/{status.pid}/gid_map"))
                return Ids(uids=uids, gids=gids)
            except OSError as cause:
                log.debug(f"id map of {self.name}: {cause}")
        mapping = self._mapping()
        return Ids(uids=mapping.uids, gids=mapping.gids)

    def _mapping(self) -> UserMapping:
        from rootless_pod.spec.rootless import NO_MAPPING, plan_mapping

        process = self.container.config.request.process
        if process.userns.startswith(("container:", "ns:")):
            return NO_MAPPING
        return plan_mapping(
            process.userns, self._context.namespace.id_map, uidmap=process.uidmap, gidmap=process.gidmap
        )

    def primary_owner(self) -> tuple[int, int]:
        """Return the container's user, in ids of the user's namespace: who files copied into it belong to.

        Raises:
            NotFound: the image does not know the user.
        """
        from rootless_pod.spec.user import find_user, read_accounts

        if self._context.namespace.single_id:
            return 0, 0
        config = self.container.config
        wanted = config.request.process.user
        if not wanted and config.image_id:
            from rootless_pod.image.lookup import lookup

            wanted = lookup(self._context.paths, config.image_id).config.user
        user = find_user(read_accounts(self.root), wanted or self._mapping().default_user)
        return self.ids().to_ours(user.uid, user.gid)


class _Guard:
    """A child that takes a FUSE mount down when this process ends, even by SIGKILL: its server would live on."""

    def __init__(self, task: Any) -> None:
        read_end, self._write_end = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._write_end)
                os.setsid()
                os.read(read_end, 1)
                task()
            finally:
                os._exit(0)
        os.close(read_end)

    def dismiss(self) -> None:
        """Let it do its work now, and wait for it."""
        os.close(self._write_end)
        os.waitpid(self._pid, 0)


_shared = True


def leave_shared_mounts() -> None:
    """Give this process a mount namespace of its own, so that what it mounts is its own affair; idempotent."""
    global _shared  # noqa: PLW0603 - one mount namespace a process
    if not _shared:
        return
    from rootless_pod.linux import mount, namespaces

    directory = os.getcwd()
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mount.set_propagation("/", mount.MS_REC | mount.MS_PRIVATE)
    os.chdir(directory)
    _shared = False


def shown_volumes(context: Context, container: Container) -> list[tuple[str, str, bool]]:
    """Return (source, destination, read-only) of what a run of the container would show, outermost first.

    Volumes not made yet are left out: at the first start they are filled from the image, copied files included.
    """
    found: dict[str, tuple[str, str, bool]] = {}
    for one in container.config.request.mounts:
        source = _volume_path(context, one.source) if one.kind == "volume" and one.source else one.source
        if one.kind in ("bind", "volume") and source and not one.overlay:
            found[one.target] = (source, one.target, "ro" in one.options)
    for row in container.state.get("mounts", ()):
        known = row["Type"] == "bind" or row.get("Driver", "local") == "local"
        if row["Type"] in ("bind", "volume") and known and row["Source"].startswith("/"):
            found[row["Destination"]] = (row["Source"], row["Destination"], not row["RW"])
    return sorted((one for one in found.values() if os.path.exists(one[0])), key=lambda one: one[1].count("/"))


def _volume_path(context: Context, name: str) -> str:
    """Return where a volume's files are, "" for one of a driver that nobody has mounted now."""
    from rootless_pod.volumes.volume import is_driven, read

    if not is_driven(context.paths, name):
        return f"{context.paths.volumes}/{name}/_data"
    from rootless_pod.volumes.mounted import count_users, where

    if count_users(context.paths, name):
        return where(context.paths, read(context.paths, name))
    log.warn(f"volume {name} is left out: its driver mounts it while a container runs")
    return ""


def _bind_volume(root: str, source: str, target: str, read_only: bool) -> None:  # noqa: FBT001 - unpacked
    from rootless_pod.fuse.native import remount_read_only
    from rootless_pod.linux import mount

    try:
        if os.path.isdir(source):
            make_directories_in_root(root, target)
        fd = open_in_root(root, target, os.O_PATH)
    except OSError as cause:
        log.debug(f"volume at {target}: {cause}")
        return
    try:
        mount.bind(source, f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    if read_only:
        fd = open_in_root(root, target, os.O_PATH)
        try:
            remount_read_only(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
