"""Trees over plain directories: the merged tree without FUSE and without a namespace."""

from __future__ import annotations

import os
import stat

from rootless_pod.fuse.filesystems.changes import Changes
from rootless_pod.fuse.filesystems.copy_up import CopyUp
from rootless_pod.fuse.filesystems.layers import Layers
from rootless_pod.fuse.filesystems.tree import Tree


def done(coroutine):
    """Run a coroutine that never waits; return its result."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waited")


def whiteout(path):
    os.mknod(path, stat.S_IFCHR, 0)


class Stack:
    """``lower`` layers (top first, each {path: text, None for a whiteout, ... for a directory}) and an upper one."""

    def __init__(self, base, *lower, max_fds=4096, tree_entries=8192):
        self.upper, self.work = f"{base}/upper", f"{base}/work"
        os.mkdir(self.upper)
        os.mkdir(self.work)
        self.lower = []
        self.tree_entries = tree_entries
        for number, content in enumerate(lower):
            top = f"{base}/lower-{number}"
            os.mkdir(top)
            self.lower.append(top)
            for path, text in content.items():
                os.makedirs(os.path.dirname(f"{top}/{path}"), exist_ok=True)
                if text is None:
                    whiteout(f"{top}/{path}")
                elif text is ...:
                    os.makedirs(f"{top}/{path}", exist_ok=True)
                else:
                    with open(f"{top}/{path}", "w", encoding="utf-8") as file:
                        file.write(text)
        self.open(max_fds=max_fds)

    def open(self, *, max_fds=4096, upper=True):
        """Look at the same directories afresh, as after a remount."""
        self.layers = Layers(self.upper if upper else None, self.work if upper else None, self.lower)
        self.tree = Tree(self.layers, max_fds=max_fds)
        self.copy_up = CopyUp(self.tree, tree_entries=self.tree_entries)
        self.changes = Changes(self.tree, self.copy_up)
        return self

    def node(self, path):
        """Return the node at ``path``, held by one lookup, or None."""
        node = self.tree.root
        for name in path.encode().split(b"/"):
            found = self.tree.lookup(node, name)
            if found is None:
                return None
            node = found[0]
            node.lookups += 1
        return node

    def text(self, path):
        fd = self.tree.open_file(self.node(path), os.O_RDONLY)
        try:
            return os.read(fd, 1 << 20).decode()
        finally:
            os.close(fd)

    def names(self, path=""):
        node = self.node(path) if path else self.tree.root
        return sorted(name.decode() for name in self.tree.list(node))

    def make(self, path, text=""):
        parent, _slash, name = path.rpartition("/")
        directory = self.node(parent) if parent else self.tree.root
        owner = (os.getuid(), os.getgid())
        node, _status, fd = self.changes.create(directory, name.encode(), 0o644, owner, os.O_RDWR)
        os.write(fd, text.encode())
        os.close(fd)
        return node

    def mkdir(self, path):
        parent, _slash, name = path.rpartition("/")
        directory = self.node(parent) if parent else self.tree.root
        return self.changes.mkdir(directory, name.encode(), 0o755, (os.getuid(), os.getgid()))[0]

    def remove(self, path, *, directory=False):
        parent, _slash, name = path.rpartition("/")
        self.changes.remove(self.node(parent) if parent else self.tree.root, name.encode(), directory=directory)

    def rename(self, old, new, flags=0):
        old_parent, _slash, old_name = old.rpartition("/")
        new_parent, _slash, new_name = new.rpartition("/")
        source = self.node(old_parent) if old_parent else self.tree.root
        target = self.node(new_parent) if new_parent else self.tree.root
        done(self.changes.rename(source, old_name.encode(), target, new_name.encode(), flags))

    def upper_is_whiteout(self, path):
        found = os.lstat(f"{self.upper}/{path}")
        return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0
