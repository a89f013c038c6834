"""Deletes layers nobody refers to, beside pulls that may be going on."""

from __future__ import annotations

import os
import time

from rootless_pod.errors import RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.linux.tree import remove_tree
from rootless_pod.storage.flock import lock_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from rootless_pod.storage.store import Store

# A layer this young may belong to a pull that has not written its image yet.
GRACE_SECONDS = 60.0


class Pruned(Frozen):
    """A layer that was deleted."""

    chain_id: str
    size_bytes: int


def prune_layers(
    store: Store, referenced: Callable[[], AbstractSet[str]], *, grace_seconds: float = GRACE_SECONDS
) -> tuple[Pruned, ...]:
    """Delete the layers whose chain id is not in ``referenced()`` and say which went.

    ``referenced`` is asked once to find candidates and again when they are locked: a pull that wrote its image in
    between is seen then, and one that is still going on holds its layers (``Store.hold``), so they are left alone.
    Broken layers (no or damaged record) go as well. After a kill, at most trash is left, which ``sweep`` removes.
    """
    keep = referenced()
    locks: dict[str, int] = {}
    try:
        for chain_id in _candidates(store, keep, grace_seconds):
            try:
                fd = lock_file(f"{store.layer_dir(chain_id)}/lock", wait=False)
            except OSError:
                continue
            if fd >= 0:
                locks[chain_id] = fd
        trash = _bury(store, [chain_id for chain_id in locks if chain_id not in referenced()] if locks else [])
    finally:
        for fd in locks.values():
            os.close(fd)
    for _pruned, path in trash:
        try:
            remove_tree(path)
        except OSError:
            continue  # trash: the next sweep removes it
    return tuple(pruned for pruned, _path in trash)


def _candidates(store: Store, keep: AbstractSet[str], grace_seconds: float) -> list[str]:
    try:
        names = os.listdir(store.root)
    except FileNotFoundError:
        return []
    oldest = time.time() - grace_seconds
    found = []
    for name in sorted(names):
        if name.startswith(".") or name in keep:
            continue
        try:
            made = os.stat(store.layer_dir(name), follow_symlinks=False).st_ctime
        except OSError:
            continue
        if made <= oldest:
            found.append(name)
    return found


def _bury(store: Store, chain_ids: list[str]) -> list[tuple[Pruned, str]]:
    trash = []
    for chain_id in chain_ids:
        try:
            size_bytes = store.layer_info(chain_id).size_bytes
        except RpodError:
            size_bytes = 0
        try:
            path = store.move_to_trash(store.layer_dir(chain_id))
        except OSError:
            continue
        trash.append((Pruned(chain_id=chain_id, size_bytes=size_bytes), path))
    return trash
