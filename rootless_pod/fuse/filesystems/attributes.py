"""From a status on disk to the attributes FUSE shows, with ids shifted where a container has its own id map."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pyfuse3

from rootless_pod.fuse.driver import OVERFLOW_ID

if TYPE_CHECKING:
    import os

    from rootless_pod.fuse.driver import IdShift
    from rootless_pod.fuse.filesystems.inodes import Node

# All changes come through the mount itself, so the kernel may keep what it was told for as long as it likes.
CACHE_SECONDS = 86400


class Attributes:
    """Makes ``EntryAttributes``; remembers shifted ids."""

    def __init__(self, id_shift: IdShift | None) -> None:
        """Show ids as stored if there is no shift."""
        self._shift = id_shift
        self._shown_uids: dict[int, int] = {}
        self._shown_gids: dict[int, int] = {}

    def entry(self, node: Node, status: os.stat_result) -> pyfuse3.EntryAttributes:
        """Return what the kernel is told of ``node``."""
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = pyfuse3.InodeT(node.ident)
        entry.entry_timeout = entry.attr_timeout = CACHE_SECONDS
        entry.st_mode = pyfuse3.ModeT(status.st_mode)
        if self._shift is None:
            entry.st_uid = status.st_uid
            entry.st_gid = status.st_gid
        else:
            entry.st_uid, entry.st_gid = self._shown(self._shift, status)
        if node.parent is None and node.orphan_fd >= 0:
            entry.st_nlink = status.st_nlink if node.in_upper and not node.is_dir else 0
        elif len(node.layers) > 1:
            # As overlayfs does: nobody counted the sub-directories of a merged directory; 1 stops guesses of find(1).
            entry.st_nlink = 1
        else:
            entry.st_nlink = status.st_nlink
        entry.st_rdev = status.st_rdev
        entry.st_size = status.st_size
        entry.st_blksize = status.st_blksize
        entry.st_blocks = status.st_blocks
        entry.st_atime_ns = status.st_atime_ns
        entry.st_mtime_ns = status.st_mtime_ns
        entry.st_ctime_ns = status.st_ctime_ns
        return entry

    def _shown(self, shift: IdShift, status: os.stat_result) -> tuple[int, int]:
        uid = self._shown_uids.get(status.st_uid)
        if uid is None:
            uid = self._shown_uids[status.st_uid] = shift.shown_uid(status.st_uid)
        gid = self._shown_gids.get(status.st_gid)
        if gid is None:
            gid = self._shown_gids[status.st_gid] = shift.shown_gid(status.st_gid)
        return uid, gid

    def stored_owner(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the ids to store for an owner as programs name it; -1 stays "no change".

        Raises:
            OSError: ``EINVAL``, the id has no place in the container's map.
        """
        if self._shift is None:
            return uid, gid
        stored_uid = uid if uid == -1 else self._shift.stored_uid(uid)
        stored_gid = gid if gid == -1 else self._shift.stored_gid(gid)
        if (stored_uid == OVERFLOW_ID and uid != OVERFLOW_ID) or (stored_gid == OVERFLOW_ID and gid != OVERFLOW_ID):
            raise OSError(errno.EINVAL, "the id is outside the container's map")
        return stored_uid, stored_gid
