"""The merged tree: find, stat and list what the layers show together. No FUSE in here, no change of any file."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from rootless_pod.fuse.filesystems.inodes import InodeTable, Node
from rootless_pod.fuse.filesystems.layers import (
    DOT_WHITEOUT,
    UPPER,
    Layers,
    list_entries,
    through,
)
from rootless_pod.fuse.whiteout import is_whiteout

if TYPE_CHECKING:
    from collections.abc import Sequence


class Found:
    """What the layers show under one name: its status, and the layers that take part (top first)."""

    __slots__ = ("layers", "status")

    def __init__(self, status: os.stat_result, layers: tuple[int, ...]) -> None:
        """Keep both."""
        self.status = status
        self.layers = layers


class Tree:
    """Layers and nodes together."""

    def __init__(self, layers: Layers, *, max_fds: int = 4096) -> None:
        """Start with only the root known."""
        self.layers = layers
        self.inodes = InodeTable(layers, max_fds=max_fds)
        self.root = self.inodes.root

    def lookup(self, parent: Node, name: bytes) -> tuple[Node, os.stat_result] | None:
        """Return the node at ``parent``/``name`` and its status, or None if there is none."""
        children = parent.children
        known = children.get(name) if children else None
        if known is not None:
            return known, self.status(known)
        found = self.find(parent, name, parent.layers)
        if found is None:
            return None
        return self.inodes.add(parent, name, found.status, found.layers), found.status

    def find(self, parent: Node, name: bytes, layers: Sequence[int]) -> Found | None:
        """Return what ``layers`` (of those of ``parent``, top first) show under ``name``.

        Raises:
            OSError: the name is too long, or a layer can't be read.
        """
        if name.startswith(DOT_WHITEOUT):
            return None
        merged: list[int] = []
        top: os.stat_result | None = None
        for index in layers:
            dir_fd = self.inodes.dir_fd(parent, index)
            try:
                status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
            except FileNotFoundError:
                if index != layers[-1] and self.layers.hides(dir_fd, name):
                    break
                continue
            if not stat.S_ISDIR(status.st_mode):
                if top is None and not is_whiteout(status):
                    return Found(status, (index,))
                break
            # Whether the part above is opaque only matters once another layer has the directory too.
            if merged and self._closed_below(parent, name, merged[-1]):
                break
            top = top or status
            merged.append(index)
        return None if top is None else Found(top, tuple(merged))

    def _closed_below(self, parent: Node, name: bytes, layer: int) -> bool:
        dir_fd = self.inodes.dir_fd(parent, layer)
        return self.layers.is_opaque(dir_fd, name) or self.layers.hides(dir_fd, name)

    def in_lower(self, parent: Node, name: bytes) -> Found | None:
        """Return what would be seen at ``parent``/``name`` if nothing of that name were in the upper layer."""
        lower = parent.layers[1:] if parent.in_upper else parent.layers
        return self.find(parent, name, lower) if lower else None

    def status(self, node: Node) -> os.stat_result:
        """Return the status of the node's top part."""
        if node.orphan_fd >= 0:
            return os.fstat(node.orphan_fd)
        layer = node.layers[0]
        if node.fds is not None and layer in node.fds:
            return os.fstat(node.fds[layer])
        if node.parent is None:
            raise FileNotFoundError(2, "file was deleted", node.name)
        return os.stat(node.name, dir_fd=self.inodes.dir_fd(node.parent, layer), follow_symlinks=False)

    def place(self, node: Node) -> tuple[bytes, int | None]:
        """Return a name and the directory descriptor it is relative to, to reach the node's top part.

        A deleted node is reached through its descriptor: an absolute path that is to be followed, and None.
        """
        if node.orphan_fd >= 0:
            return b"/proc/self/fd/%d" % node.orphan_fd, None
        if node.parent is None:
            if node is self.root:
                return b".", self.layers.roots[node.layers[0]]
            raise FileNotFoundError(2, "file was deleted", node.name)
        return node.name, self.inodes.dir_fd(node.parent, node.layers[0])

    def path(self, node: Node) -> tuple[bytes, bool]:
        """Return a path for calls without a directory descriptor, and whether links are to be followed."""
        name, dir_fd = self.place(node)
        return (name, True) if dir_fd is None else (through(dir_fd, name), False)

    def open_file(self, node: Node, flags: int) -> int:
        """Open the node's file as it lies in its layer; the caller closes it."""
        name, dir_fd = self.place(node)
        if dir_fd is None:
            return os.open(name, flags | os.O_CLOEXEC)
        return os.open(name, flags | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=dir_fd)

    def readlink(self, node: Node) -> bytes:
        """Return the target of a symbolic link."""
        name, dir_fd = self.place(node)
        if dir_fd is None:
            return os.readlink(b"", dir_fd=node.orphan_fd)
        return os.readlink(name, dir_fd=dir_fd)

    def list(self, node: Node) -> list[bytes]:
        """Return the names the directory shows, without ``.`` and ``..``."""
        if node.orphan_fd >= 0:
            return []
        shown: dict[bytes, None] = {}
        hidden: set[bytes] = set()
        for index in node.layers:
            dir_fd = self.inodes.dir_fd(node, index)
            hides: list[bytes] = []
            for name, special in list_entries(dir_fd):
                if name.startswith(DOT_WHITEOUT):
                    hides.append(name[len(DOT_WHITEOUT) :])
                elif name in shown or name in hidden:
                    continue
                elif special and is_whiteout(os.stat(name, dir_fd=dir_fd, follow_symlinks=False)):
                    hidden.add(name)
                else:
                    shown[name] = None
            hidden.update(hides)
        return list(shown)

    def is_empty(self, node: Node) -> bool:
        """Tell whether the directory shows nothing."""
        return not self.list(node)

    def is_pure_upper(self, node: Node) -> bool:
        """Tell whether nothing of a directory lies in a lower layer."""
        return node.layers == (UPPER,)
