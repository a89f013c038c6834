"""Nodes: what the kernel knows of the tree, numbered and counted, and the directory descriptors behind them.

A node lives while the kernel holds a lookup on it, a handle is open, or a living node lies in it.
Inside a mount a node keeps its number, also through copy-up. Nothing here reads the file systems
except to open directories.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless_pod.fuse.filesystems.layers import Layers
    from rootless_pod.fuse.filesystems.loop import Lock

ROOT = 1
_MADE_UP_IDS = 1 << 62
_DEVICE_SHIFT = 56
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Node:
    """One file of the merged tree.

    ``layers``: for a directory all layers that take part, top first; for anything else the one it lies in.
    ``parent`` and ``name`` are one way to reach it (None once it is deleted), ``links`` the other names known.
    ``orphan_fd`` holds a deleted file. ``handles`` are the open file handles.
    """

    __slots__ = (
        "children",
        "fds",
        "handles",
        "ident",
        "key",
        "layers",
        "links",
        "lock",
        "lookups",
        "name",
        "orphan_fd",
        "parent",
        "type",
    )

    def __init__(self, ident: int, mode: int, layers: tuple[int, ...]) -> None:
        """Make a node that has no name yet."""
        self.ident = ident
        self.type = stat.S_IFMT(mode)
        self.layers = layers
        self.parent: Node | None = None
        self.name = b""
        self.links: list[tuple[Node, bytes]] | None = None
        self.children: dict[bytes, Node] | None = None
        self.lookups = 0
        self.handles: set[int] | None = None
        self.orphan_fd = -1
        self.key: tuple[int, int] | None = None
        self.lock: Lock | None = None
        self.fds: dict[int, int] | None = None

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self.type == stat.S_IFDIR

    @property
    def in_upper(self) -> bool:
        """Whether it (or, for a directory, its top part) lies in the upper layer."""
        return self.layers[0] == 0

    def names(self) -> list[tuple[Node, bytes]]:
        """Return every known (directory, name) of it; empty once it is deleted."""
        first = [] if self.parent is None else [(self.parent, self.name)]
        return first + (self.links or [])


class InodeTable:
    """All living nodes by number, the numbers given to new ones, and a bounded set of directory descriptors."""

    def __init__(self, layers: Layers, *, max_fds: int = 4096) -> None:
        """Start with the root directory, which is merged of all layers."""
        self._layers = layers
        self._max_fds = max_fds
        self._fd_count = 0
        self._recent: OrderedDict[Node, None] = OrderedDict()
        self._made_up = _MADE_UP_IDS
        self._devices: dict[int, int] = {}
        self._by_key: dict[tuple[int, int], Node] = {}
        self.root = Node(ROOT, stat.S_IFDIR, layers.all)
        self.root.lookups = 1
        self.root.fds = {index: layers.roots[index] for index in layers.all}
        self.by_id: dict[int, Node] = {ROOT: self.root}

    def add(self, parent: Node, name: bytes, status: os.stat_result, layers: tuple[int, ...]) -> Node:
        """Return the node for what lies at ``parent``/``name``: a new one, or the one that has it as another link."""
        linked = status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)
        key = (status.st_dev, status.st_ino)
        node = self._by_key.get(key) if linked else None
        if node is None:
            node = Node(self._number(status), status.st_mode, layers)
            self.by_id[node.ident] = node
            if linked:
                self.set_key(node, key)
        self.attach(node, parent, name)
        return node

    def _number(self, status: os.stat_result) -> int:
        device = self._devices.setdefault(status.st_dev, len(self._devices))
        number = (device << _DEVICE_SHIFT) | status.st_ino
        if status.st_ino >> _DEVICE_SHIFT or device >= 32 or number <= ROOT or number in self.by_id:
            self._made_up += 1
            return self._made_up
        return number

    def set_key(self, node: Node, key: tuple[int, int] | None) -> None:
        """Let other links be recognised by device and inode number (None: no more)."""
        if node.key is not None and self._by_key.get(node.key) is node:
            del self._by_key[node.key]
        node.key = key
        if key is not None:
            self._by_key[key] = node

    def attach(self, node: Node, parent: Node, name: bytes) -> None:
        """Give ``node`` one more name."""
        if parent.children is None:
            parent.children = {}
        parent.children[name] = node
        if node.parent is None:
            node.parent, node.name = parent, name
        elif node.links is None:
            node.links = [(parent, name)]
        else:
            node.links.append((parent, name))

    def detach(self, node: Node, parent: Node, name: bytes) -> None:
        """Take one name from ``node``; the node itself stays."""
        if parent.children is not None and parent.children.get(name) is node:
            del parent.children[name]
        if node.parent is parent and node.name == name:
            node.parent, node.name = node.links.pop() if node.links else (None, b"")
        elif node.links and (parent, name) in node.links:
            node.links.remove((parent, name))
        self._drop_unused([parent])

    def forget(self, counts: Iterable[tuple[int, int]]) -> None:
        """Give back lookups; drop the nodes nobody needs any more."""
        unused = []
        for ident, count in counts:
            node = self.by_id.get(ident)
            if node is not None:
                node.lookups -= count
                unused.append(node)
        self._drop_unused(unused)

    def release(self, node: Node) -> None:
        """Drop ``node`` if nobody needs it (after a handle was closed, or a lookup was not answered)."""
        self._drop_unused([node])

    def _drop_unused(self, nodes: list[Node]) -> None:
        while nodes:
            node = nodes.pop()
            if node.lookups > 0 or node.handles or node.children or node.ident == ROOT:
                continue
            if self.by_id.pop(node.ident, None) is None:
                continue
            self.set_key(node, None)
            for parent, name in node.names():
                if parent.children is not None and parent.children.get(name) is node:
                    del parent.children[name]
                nodes.append(parent)
            self.close_fds(node)
            if node.orphan_fd >= 0:
                os.close(node.orphan_fd)
                node.orphan_fd = -1

    def dir_fd(self, node: Node, layer: int) -> int:
        """Return a descriptor (``O_PATH``) of the directory's part in ``layer``, valid until the next ``trim_fds``.

        Raises:
            FileNotFoundError: the directory was deleted.
        """
        fds = node.fds
        if fds is not None and layer in fds:
            if node.ident != ROOT:
                self._recent.move_to_end(node)
            return fds[layer]
        missing: list[Node] = []
        above = node
        while above.fds is None or layer not in above.fds:
            missing.append(above)
            if above.parent is None:
                raise FileNotFoundError(2, "directory was deleted", above.name)
            above = above.parent
        fd = above.fds[layer]
        for below in reversed(missing):
            fd = os.open(below.name, _DIRECTORY, dir_fd=fd)
            if below.fds is None:
                below.fds = {}
            below.fds[layer] = fd
            self._recent[below] = None
            self._fd_count += 1
        return fd

    def close_fds(self, node: Node) -> None:
        """Close the directory descriptors of ``node`` (opened again when needed)."""
        if node.fds is not None and node.ident != ROOT:
            for fd in node.fds.values():
                os.close(fd)
            self._fd_count -= len(node.fds)
            node.fds = None
            self._recent.pop(node, None)

    def trim_fds(self) -> None:
        """Close the directory descriptors used longest ago, down to the limit.

        Only called at the start of a request: within one, numbers handed out stay valid.
        """
        while self._fd_count > self._max_fds and self._recent:
            self.close_fds(next(iter(self._recent)))
