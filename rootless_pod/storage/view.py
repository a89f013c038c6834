"""What stacked layers show together, looked at without mounting them: for comparing images and containers.

Names are bytes relative to the root (``usr/bin/sh``). Nothing is followed, nothing is opened but directories.
"""

from __future__ import annotations

import os
import stat

from rootless_pod.fuse.whiteout import OPAQUE_NAME, hidden_name, is_opaque, is_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Node:
    """One name of a view: ``places`` are the paths it comes from, top first (several for a merged directory)."""

    __slots__ = ("places", "stat")

    def __init__(self, places: tuple[bytes, ...], found: os.stat_result) -> None:
        """Hold what was found; ``found`` is that of the topmost place."""
        self.places = places
        self.stat = found

    @property
    def is_directory(self) -> bool:
        """Whether it has names below it."""
        return stat.S_ISDIR(self.stat.st_mode)


class View:
    """The tree that ``directories`` (top first) show; ``plain`` takes whiteouts for what they are on the disk."""

    def __init__(self, directories: Iterable[str], *, plain: bool = False) -> None:
        """Name the layers; nothing is read yet."""
        self._directories = tuple(os.fsencode(one) for one in directories)
        self._plain = plain

    def root(self) -> Node:
        """Return the root directory (raises OSError if a layer is missing)."""
        return Node(self._directories, os.lstat(self._directories[0]))

    def children(self, node: Node) -> dict[bytes, Node]:
        """Return what the directory ``node`` shows, by name (raises OSError)."""
        found: dict[bytes, list[tuple[bytes, os.stat_result]]] = {}
        closed: set[bytes] = set()
        for place in node.places:
            hidden = self._merge(place, found, closed)
            if hidden is None:
                break
            closed |= hidden
        return {name: Node(tuple(path for path, _found in rows), rows[0][1]) for name, rows in found.items()}

    def _merge(
        self, place: bytes, found: dict[bytes, list[tuple[bytes, os.stat_result]]], closed: set[bytes]
    ) -> set[bytes] | None:
        """Add the names of one layer; return those that hide lower ones, or None where the layer hides everything."""
        hidden: set[bytes] = set()
        opaque = False
        for name in os.listdir(place):
            if not self._plain and name == OPAQUE_NAME:
                opaque = True
                continue
            gone = None if self._plain else hidden_name(name)
            if gone is not None:
                hidden.add(gone)
                continue
            if name in closed:
                continue
            path = place + b"/" + name
            entry = os.lstat(path)
            if (not self._plain and is_whiteout(entry)) or self._add(found, name, path, entry):
                hidden.add(name)
        return None if opaque else hidden

    def _add(
        self, found: dict[bytes, list[tuple[bytes, os.stat_result]]], name: bytes, path: bytes, entry: os.stat_result
    ) -> bool:
        """Add one name; return whether it hides the lower ones of its name."""
        rows = found.setdefault(name, [])
        if not stat.S_ISDIR(entry.st_mode):
            if not rows:
                rows.append((path, entry))
            return True
        rows.append((path, entry))
        return not self._plain and is_opaque(path)
