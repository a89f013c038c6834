"""Definitions and leases as they are now, read anew only when something has changed."""

from __future__ import annotations

import os

from rootless_pod.errors import RpodError
from rootless_pod.linux import inotify
from rootless_pod.network.definitions import Networks
from rootless_pod.network.lease import leased_networks, read_leases
from rootless_pod.network.zone import Zone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.paths import Paths

_EVENTS = (
    inotify.IN_CREATE | inotify.IN_DELETE | inotify.IN_MOVED_TO | inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF
    | inotify.IN_ONLYDIR
)  # fmt: skip


class Watched:
    """The zone of a store. Where the kernel has no inotify left for the user, it is read at each look."""

    def __init__(self, paths: Paths) -> None:
        """Read everything once."""
        self._paths = paths
        self._inotify: inotify.Inotify | None = None
        self._watches: dict[str, int] = {}
        try:
            self._inotify = inotify.Inotify()
        except OSError:
            pass
        self.zone = Zone({}, {})
        self.has_leases = False
        self._read()

    @property
    def fd(self) -> int:
        """What is readable when something has changed; -1: nothing says so."""
        return self._inotify.fd if self._inotify else -1

    def refresh(self) -> bool:
        """Read what has changed; return whether anything may have."""
        if self._inotify is not None:
            if not self._inotify.read():
                return False
            while self._inotify.read():
                pass
        self._read()
        return True

    def _read(self) -> None:
        """Read leases and definitions; the watches come first, so that no change falls between."""
        names = self._watch()
        networks, known = {}, Networks(self._paths)
        for name in names:
            try:
                networks[name] = known.read(name)
            except RpodError:
                continue
        self.has_leases = bool(names)
        self.zone = Zone(networks, {name: read_leases(self._paths, name) for name in networks})

    def _watch(self) -> list[str]:
        """Watch every directory that is there; return the networks with leases."""
        watcher = self._inotify
        if watcher is None:
            return leased_networks(self._paths)
        wanted = {self._paths.leases, self._paths.networks}
        self._add(watcher, wanted)
        try:
            below = {f"{self._paths.leases}/{name}" for name in os.listdir(self._paths.leases) if name[:1] != "."}
        except OSError:
            below = set()
        self._add(watcher, below)
        for path in set(self._watches) - wanted - below:
            watcher.remove(self._watches.pop(path))
        return leased_networks(self._paths)

    def _add(self, watcher: inotify.Inotify, paths: set[str]) -> None:
        """Watch directories; the number of one that was made anew changes, of others not."""
        for path in paths:
            try:
                self._watches[path] = watcher.add(path, _EVENTS)
            except OSError:
                self._watches.pop(path, None)

    def close(self) -> None:
        """Watch no more; idempotent."""
        if self._inotify is not None:
            self._inotify.close()
