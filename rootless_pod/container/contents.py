"""A container's own files, for ``commit``, ``export`` and ``diff``: what it changed, and the whole of its tree."""

from __future__ import annotations

import os

from rootless_pod.container.cleanup import settle
from rootless_pod.container.copy_tree import ContainerTree
from rootless_pod.container.lookup import read
from rootless_pod.container.prepare import image_of
from rootless_pod.errors import Conflict, Corrupt, Refused
from rootless_pod.frozen import Frozen
from rootless_pod.linux.tree import syncfs
from rootless_pod.spec.rootless import id_shift, plan_mapping
from rootless_pod.state.containers import ContainerLock
from rootless_pod.storage.changes import DELETED, Change, Comparison
from rootless_pod.storage.diff import Selection, write_layer
from rootless_pod.storage.rootfs import merged_path, rootfs_is_mounted, upper_path
from rootless_pod.storage.store import Store
from rootless_pod.storage.view import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.container.record import ContainerConfig
    from rootless_pod.oci.image import Image

    Owner = Callable[[int, int], tuple[int, int]]
    Sink = Callable[[bytes], object]

# What the runtime and rpod put into every container: places mounted over, no changes of the user's.
# Source: libpod/diff.go of podman 4.3, initInodes.
NOT_OURS = frozenset(
    {
        b"dev", b"etc/hostname", b"etc/hosts", b"etc/mtab", b"etc/resolv.conf", b"proc", b"run", b"run/.containerenv",
        b"run/notify", b"run/secrets", b"sys",
    }
)  # fmt: skip


class Layers(Frozen):
    """Where the changes lie: an upper directory, or (``copied``) a whole tree to compare with the layers."""

    tree: str
    copied: bool
    lower: tuple[str, ...]
    owner: Owner | None = None


class Steady:
    """A container whose files stay where they are: the lock is held unless it runs. A context manager."""

    def __init__(self, context: Context, container: Container) -> None:
        """Name the container."""
        self._context = context
        self._lock = ContainerLock(context.paths, container.id)
        self.container = container

    def __enter__(self) -> Self:
        """Lock and settle it; a running one is not locked, so that it can be stopped meanwhile."""
        self._lock.acquire()
        try:
            self.container = settle(self._context, read(self._context.paths, self.container.id))
        except BaseException:
            self._lock.release()
            raise
        if self.container.status.is_made:
            self._lock.release()
            merged = merged_path(self._context.paths.container(self.container.id))
            # A driver in user space may hold what was written in the page cache of its mount.
            syncfs(merged)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        self._lock.release()


def base_image(context: Context, container: Container, doing: str) -> Image | None:
    """Return the image a container stands on, unpacked (None: it was made from a directory).

    Raises:
        Refused: it is the machine itself.
    """
    image = image_of(context, container.config)
    if image is not None and image.is_host:
        raise Refused(
            f"cannot {doing} container {container.config.name}: its image is this machine itself",
            remedy=f"copy the files you want: rpod cp {container.config.name}:PATH .",
        )
    return image


def stored_owner(context: Context, config: ContainerConfig) -> Owner | None:
    """Return what turns owners as a mounted or copied tree shows them into the image's (None: they are the same)."""
    process = config.request.process
    if process.userns.startswith("container:"):
        return None
    mapping = plan_mapping(
        process.userns, context.namespace.id_map, uidmap=process.uidmap, gidmap=process.gidmap, join_path=None
    )
    shift = id_shift(mapping, context.namespace.id_map)
    if shift is None:
        return None
    return lambda uid, gid: (shift.stored_uid(uid), shift.stored_gid(gid))


def find_layers(context: Context, container: Container, image: Image | None) -> Layers:
    """Return where the container's changes lie."""
    directory = context.paths.container(container.id)
    request = container.config.request
    lower = Store(context.paths).lower_dirs(image.layers) if image is not None else (request.rootfs,)
    copied = f"{directory}/copy"
    if os.path.isdir(copied):
        return Layers(tree=copied, copied=True, lower=lower, owner=stored_owner(context, container.config))
    upper = upper_path(directory)
    if not os.path.isdir(upper):
        os.makedirs(upper, mode=0o755, exist_ok=True)
    return Layers(tree=upper, copied=False, lower=lower)


def changes(layers: Layers) -> Iterator[Change]:
    """Return what the container added, changed and deleted (raises OSError)."""
    if not layers.lower:
        # An image without layers: everything is new.
        return _compare(layers.replace(lower=(_empty(layers),)))
    return _compare(layers)


def _empty(layers: Layers) -> str:
    path = f"{os.path.dirname(layers.tree)}/empty"
    os.makedirs(path, mode=0o755, exist_ok=True)
    return path


def _compare(layers: Layers) -> Iterator[Change]:
    old = View(layers.lower)
    new = View((layers.tree,), plain=True) if layers.copied else View((layers.tree, *layers.lower))
    return Comparison(old, new, owner=layers.owner, contents=layers.copied).changes()


def visible_changes(layers: Layers) -> Iterator[Change]:
    """Return the changes without what every container gets put in."""
    for change in changes(layers):
        if change.path not in NOT_OURS and not change.path.startswith((b"proc/", b"sys/", b"dev/")):
            yield change


def write_changes(layers: Layers, sink: Sink) -> None:
    """Write the container's changes as a layer's tar.

    Raises:
        OSError: something can't be read.
        Corrupt: the tree is too deep.
    """
    if not layers.copied:
        write_layer(sink, layers.tree, is_upper=True)
        return
    try:
        found = tuple(changes(layers))
    except RecursionError as cause:
        raise Corrupt(f"the tree below {layers.tree} is too deep to compare") from cause
    selection = Selection(
        changed=frozenset(one.path for one in found if one.kind != DELETED),
        removed=tuple(one.path for one in found if one.kind == DELETED),
    )
    write_layer(sink, layers.tree, is_upper=False, owner=layers.owner, selection=selection)


def write_tree(context: Context, container: Container, sink: Sink) -> None:
    """Write the container's whole tree, without its volumes, as a tar.

    Raises:
        Refused: its image is the machine itself.
        Conflict: it runs, and its tree is not to be seen from here.
        RpodError: the root file system can't be mounted.
        OSError: something can't be read.
    """
    image = base_image(context, container, "export")
    request = container.config.request
    owner = stored_owner(context, container.config)
    if image is None and not request.rootfs_overlay:
        write_layer(sink, request.rootfs, is_upper=False)
        return
    directory = context.paths.container(container.id)
    if container.status.is_made:
        if not rootfs_is_mounted(paths=context.paths, container_id=container.id):
            raise Conflict(
                f"the root file system of container {container.config.name} is mounted where it can't be seen",
                remedy=f"stop it first: rpod stop {container.config.name}",
            )
        syncfs(merged_path(directory))
        write_layer(sink, merged_path(directory), is_upper=False, owner=owner)
        return
    with ContainerTree(context, container, volumes=False) as tree:
        write_layer(sink, f"{tree.root}/.", is_upper=False, owner=owner)
