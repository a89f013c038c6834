"""What differs between two views: the lines of ``diff``, and what a commit of a copied tree writes."""

from __future__ import annotations

import os
import stat

from rootless_pod.frozen import Frozen
from rootless_pod.storage.owners import layer_xattrs, read_owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless_pod.storage.view import Node, View

ADDED, CHANGED, DELETED = "A", "C", "D"
_PIECE = 1 << 20


class Change(Frozen):
    """One path (bytes, without a slash in front) that was added, changed or deleted."""

    kind: str
    path: bytes


class Comparison:
    """Two views and how they are compared.

    ``owner`` turns an owner as the new tree stores it into the one the old tree would have. ``contents`` reads files
    that look alike; without it another layer's file counts as changed, which is what an upper directory means.
    """

    def __init__(
        self,
        old: View,
        new: View,
        *,
        owner: Callable[[int, int], tuple[int, int]] | None = None,
        contents: bool = False,
    ) -> None:
        """Name the two; nothing is read yet."""
        self._old = old
        self._new = new
        self._owner = owner
        self._contents = contents

    def changes(self) -> Iterator[Change]:
        """Return every change in the order of paths, directories before what is in them (raises OSError).

        A directory that has a change in it counts as changed.
        """
        before, after = self._old.root(), self._new.root()
        for change in self._directory(before, after, b""):
            if change.path:
                yield change

    def _directory(self, before: Node, after: Node, prefix: bytes) -> Iterator[Change]:
        if before.places == after.places:
            return
        old, new = self._old.children(before), self._new.children(after)
        inner = self._names(old, new, prefix)
        first = next(inner, None)
        if first is not None or not self._alike(before, after):
            yield Change(kind=CHANGED, path=prefix.rstrip(b"/"))
        if first is not None:
            yield first
            yield from inner

    def _names(self, old: dict[bytes, Node], new: dict[bytes, Node], prefix: bytes) -> Iterator[Change]:
        for name in sorted(old.keys() | new.keys()):
            path = prefix + name
            before, after = old.get(name), new.get(name)
            if after is None:
                yield Change(kind=DELETED, path=path)
            elif before is None:
                yield from self._added(after, path, ADDED)
            elif before.is_directory and after.is_directory:
                yield from self._directory(before, after, path + b"/")
            elif before.is_directory or after.is_directory:
                yield from self._added(after, path, CHANGED)
            elif before.places != after.places and not (self._contents and self._alike(before, after)):
                yield Change(kind=CHANGED, path=path)

    def _added(self, node: Node, path: bytes, kind: str) -> Iterator[Change]:
        yield Change(kind=kind, path=path)
        if node.is_directory:
            for name, child in sorted(self._new.children(node).items()):
                yield from self._added(child, path + b"/" + name, ADDED)

    def _alike(self, before: Node, after: Node) -> bool:
        one, other = before.stat, after.stat
        if one.st_mode != other.st_mode or one.st_mtime_ns != other.st_mtime_ns or one.st_rdev != other.st_rdev:
            return False
        old, new = before.places[0], after.places[0]
        if self._owner_of(old, one) != self._owner_of(new, other, moved=True):
            return False
        if stat.S_ISLNK(one.st_mode):
            return os.readlink(old) == os.readlink(new)
        if layer_xattrs(old) != layer_xattrs(new):
            return False
        return not stat.S_ISREG(one.st_mode) or (one.st_size == other.st_size and same_content(old, new))

    def _owner_of(self, path: bytes, found: os.stat_result, *, moved: bool = False) -> tuple[int, int]:
        kept = read_owner(path) if not stat.S_ISLNK(found.st_mode) else None
        if kept is not None:
            return kept
        if moved and self._owner is not None:
            return self._owner(found.st_uid, found.st_gid)
        return found.st_uid, found.st_gid


def same_content(one: bytes, other: bytes) -> bool:
    """Compare two regular files byte by byte (raises OSError)."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    first, second = os.open(one, flags), -1
    try:
        second = os.open(other, flags)
        while True:
            data = os.read(first, _PIECE)
            if data != os.read(second, _PIECE):
                return False
            if not data:
                return True
    finally:
        os.close(first)
        if second >= 0:
            os.close(second)
