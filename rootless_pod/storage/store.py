"""Unpacked layers on disk: ``layers/HEX/{diff,layer.json,lock}``, HEX being the chain id.

A layer is made in ``layers/.staging-RANDOM`` under a lock that dies with its maker, written to the disk, and
renamed: a directory with a final name is whole, whatever was killed or unplugged. What is deleted is renamed
to ``.trash-RANDOM`` first, for the same reason.
"""

from __future__ import annotations

import errno
import os

from rootless_pod.errors import Conflict, Corrupt, HostUnready, NotFound
from rootless_pod.linux.tree import remove_tree, syncfs
from rootless_pod.state.record import read_record, sync_directory, write_record
from rootless_pod.storage import lowers
from rootless_pod.storage.flock import lock_file
from rootless_pod.storage.layer import LayerInfo, read_layer_info

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from rootless_pod.paths import Paths

_STAGING = ".staging-"
_TRASH = ".trash-"
_CHAIN_DIGITS = 64


class Store:
    """The layers of one graphroot. Holds no state: any number of processes may have one."""

    def __init__(self, paths: Paths) -> None:
        """Work below ``paths.layers`` (made when the first layer is staged); layers of other stores are only read."""
        self._root = paths.layers
        self._roots = paths.layer_roots
        self._making = f"{paths.locks}/staging.lock"

    def lock_making(self, *, shared: bool) -> int:
        """Lock the making of staging directories, ``shared`` among those who make one; return the fd to close.

        A directory without a lock of its own is thus seen by nobody but those who are to remove it.
        """
        os.makedirs(os.path.dirname(self._making), mode=0o700, exist_ok=True)
        return lock_file(self._making, shared=shared)

    @property
    def root(self) -> str:
        """The directory that holds the layers."""
        return self._root

    def layer_dir(self, chain_id: str) -> str:
        """Return the directory of a layer, whether it exists or not; in another's store if only that has it."""
        return lowers.layer_dir(self._roots, chain_id)

    def is_foreign(self, chain_id: str) -> bool:
        """Tell whether the layer is in another's store and not in this one: it can't be locked, moved or removed."""
        return not self.layer_dir(chain_id).startswith(f"{self._root}/")

    def layer_path(self, chain_id: str) -> str:
        """Return the unpacked tree of a layer, whether it exists or not."""
        return f"{self.layer_dir(chain_id)}/diff"

    def has_layer(self, chain_id: str) -> bool:
        """Tell whether the layer is there (and so is whole)."""
        return lowers.has_layer(self._roots, chain_id)

    def is_poor(self, chain_id: str, *, single_id: bool) -> bool:
        """Tell whether the layer was unpacked with one id, and its owners could be real now (not ``single_id``)."""
        return not single_id and lowers.is_single_id(self._root, chain_id)

    def layer_info(self, chain_id: str) -> LayerInfo:
        """Return the record of a layer.

        Raises:
            NotFound: there is no such layer.
            Corrupt: the record is damaged.
        """
        path = f"{self.layer_dir(chain_id)}/layer.json"
        try:
            record = read_record(path)
        except NotFound as cause:
            raise NotFound(f"no layer {chain_id} in {self._root}", remedy="pull the image anew") from cause
        return read_layer_info(record, path)

    def layers(self) -> tuple[str, ...]:
        """Return the chain ids of all layers of this store itself, sorted."""
        try:
            names = os.listdir(self._root)
        except FileNotFoundError:
            return ()
        return tuple(sorted(name for name in names if len(name) == _CHAIN_DIGITS and self.has_layer(name)))

    def lower_dirs(self, chain_ids: Iterable[str]) -> tuple[str, ...]:
        """Return the trees of an image's layers **top first**, for a mount; ``chain_ids`` are bottom first.

        What lies below a layer whose root directory is opaque is left out: overlayfs does not look at that mark.
        """
        return lowers.lower_dirs(self._roots, chain_ids)

    def staging(self) -> Staging:
        """Return a new staging directory as a context manager; left without a commit, it is removed."""
        return Staging(self)

    def hold(self, chain_ids: Iterable[str]) -> Hold:
        """Keep layers from being pruned while the context lasts; see ``Hold.present``."""
        return Hold(self, tuple(chain_ids))

    def sync(self) -> None:
        """Write everything to the disk; one call serves several commits with ``sync=False``."""
        syncfs(self._root)

    def sweep(self) -> int:
        """Remove staging directories whose maker is dead, and trash; return how many went."""
        try:
            names = os.listdir(self._root)
        except FileNotFoundError:
            return 0
        if any(name.startswith(_STAGING) for name in names):
            try:
                making = self.lock_making(shared=False)
            except OSError:
                return 0
            buried = [self._bury(f"{self._root}/{name}") for name in names if name.startswith(_STAGING)]
            os.close(making)
            names += map(os.path.basename, buried)
        swept = 0
        for name in names:
            if name.startswith(_TRASH):
                try:
                    remove_tree(f"{self._root}/{name}")
                except OSError:
                    continue  # another sweep is at it, or the next one gets it
                swept += 1
        return swept

    def _bury(self, staging: str) -> str:
        """Make trash of a staging directory that no living process holds; return its new path, or ""."""
        try:
            fd = lock_file(f"{staging}/lock", wait=False)
        except OSError:
            return ""
        if fd < 0:
            return ""
        try:
            return self.move_to_trash(staging)
        except OSError:
            return ""
        finally:
            os.close(fd)

    def move_to_trash(self, path: str) -> str:
        """Take the directory ``path`` of this store out of sight in one step; return its new path (raises OSError)."""
        if not path.startswith(f"{self._root}/"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        trash = f"{self._root}/{_TRASH}{os.urandom(8).hex()}"
        os.rename(path, trash)
        return trash


class Staging:
    """A directory in which one layer is made: ``path``, and ``diff`` inside it for the tree."""

    def __init__(self, store: Store) -> None:
        """Name nothing yet; the directory is made on entry."""
        self._store = store
        self.path = ""
        self._lock_fd = -1

    @property
    def diff(self) -> str:
        """The directory to unpack into."""
        return f"{self.path}/diff"

    def __enter__(self) -> Self:
        """Make and lock the directory.

        Raises:
            HostUnready: it can't be made.
        """
        try:
            making = self._store.lock_making(shared=True)
            try:
                self._make()
            finally:
                os.close(making)
        except OSError as cause:
            self._leave()
            raise HostUnready(
                f"cannot make a layer in {self._store.root}: {cause.strerror}",
                remedy="give a writable place with --root DIR",
            ) from cause
        return self

    def _make(self) -> None:
        path = f"{self._store.root}/{_STAGING}{os.urandom(8).hex()}"
        os.makedirs(self._store.root, mode=0o700, exist_ok=True)
        os.mkdir(path, 0o700)
        self.path = path
        # A setgid parent or one with default ACLs must not leak its group or its entries into the layer.
        os.chmod(path, 0o700)
        _drop_default_acl(path)
        self._lock_fd = lock_file(f"{path}/lock")
        os.mkdir(self.diff, 0o755)
        os.chmod(self.diff, 0o755)  # noqa: S103 - the root of a file system, inside a 0700 directory

    def commit(self, chain_id: str, info: LayerInfo, *, sync: bool = True) -> LayerInfo:
        """Give the layer its final name; it must be whole. With ``sync=False`` the caller gets it to the disk.

        Where another process was quicker, ours is thrown away and the record of theirs is returned.

        Raises:
            Corrupt: ``chain_id`` is not one, or is not that of ``info``.
        """
        if len(chain_id) != _CHAIN_DIGITS or info.chain_id != chain_id:
            raise Corrupt(f"layer {info.chain_id} was to be stored as {chain_id}")
        own = (self._store.root,)
        if lowers.has_layer(own, chain_id):
            return self._store.layer_info(chain_id)
        for mark, wanted in (("opaque-root", info.opaque_root), (lowers.SINGLE_ID, info.single_id)):
            if wanted:
                os.close(os.open(f"{self.path}/{mark}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        write_record(f"{self.path}/layer.json", info.to_json())
        if sync:
            syncfs(self.path)
        final = lowers.layer_dir(own, chain_id)
        try:
            os.rename(self.path, final)
        except OSError as cause:
            if cause.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if not lowers.has_layer(own, chain_id):
                raise Conflict(f"{final} is in the way of a layer", remedy=f"remove it: rm -r {final}") from cause
            return self._store.layer_info(chain_id)
        self.path = final
        self._release()
        if sync:
            sync_directory(self._store.root)
        return info

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was not committed and give the lock back."""
        self._leave()

    def _leave(self) -> None:
        if os.path.basename(self.path).startswith(_STAGING):
            try:
                remove_tree(self._store.move_to_trash(self.path))
            except OSError:
                pass  # it is gone, or trash that the next sweep removes
            self.path = ""
        self._release()

    def _release(self) -> None:
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def _drop_default_acl(path: str) -> None:
    try:
        os.removexattr(path, "system.posix_acl_default")
    except OSError:
        pass


class Hold:
    """Shared locks on layers that someone is about to refer to."""

    def __init__(self, store: Store, chain_ids: tuple[str, ...]) -> None:
        """Name the layers; nothing is locked yet."""
        self._store = store
        self._wanted = chain_ids
        self._locks: dict[str, int] = {}

    @property
    def present(self) -> tuple[str, ...]:
        """The layers that exist and stay while the context lasts, in the order given."""
        return tuple(self._locks)

    def __enter__(self) -> Self:
        """Lock those layers that are there; a prune under way is waited for (it takes a rename)."""
        for chain_id in self._wanted:
            if self._store.is_foreign(chain_id):
                self._locks.setdefault(chain_id, -1)
                continue
            try:
                fd = lock_file(f"{self._store.layer_dir(chain_id)}/lock", shared=True)
            except OSError:
                continue
            if self._store.has_layer(chain_id) and chain_id not in self._locks:
                self._locks[chain_id] = fd
            else:
                os.close(fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the locks back."""
        for fd in self._locks.values():
            if fd >= 0:
                os.close(fd)
        self._locks.clear()

    def __iter__(self) -> Iterator[str]:
        """Iterate over ``present``."""
        return iter(self.present)
