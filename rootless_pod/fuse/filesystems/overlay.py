"""The overlay as FUSE requests: names, attributes and directories. ``files`` has what concerns open files.

Every method is one request of the kernel. Between two ``await`` nothing else runs, so no locks are
needed but the one of a file's copy-up.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pyfuse3

from rootless_pod.fuse.filesystems.attributes import CACHE_SECONDS, Attributes
from rootless_pod.fuse.filesystems.changes import Changes
from rootless_pod.fuse.filesystems.copy_up import CopyUp
from rootless_pod.fuse.filesystems.files import OpenFiles
from rootless_pod.fuse.filesystems.inodes import Node
from rootless_pod.fuse.filesystems.layers import shown_xattr, stored_xattr
from rootless_pod.fuse.filesystems.requests import answering

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless_pod.fuse.driver import IdShift
    from rootless_pod.fuse.filesystems.tree import Tree


class Overlay(OpenFiles):
    """A mounted overlay."""

    supports_dot_lookup = False
    enable_acl = False

    def __init__(self, tree: Tree, *, id_shift: IdShift | None = None, volatile: bool = False) -> None:
        """Serve ``tree``; with ``volatile`` fsync(2) does nothing."""
        self._tree = tree
        self._attributes = Attributes(id_shift)
        self._copy_up = CopyUp(tree)
        self._changes = Changes(tree, self._copy_up)
        self._volatile = volatile
        self._listings: dict[int, tuple[Node, list[bytes] | None]] = {}
        self._last_listing = 0
        self._open: dict[int, Node] = {}
        self.enable_writeback_cache = tree.layers.writable

    def _node(self, inode: int) -> Node:
        self._tree.inodes.trim_fds()
        node = self._tree.inodes.by_id.get(inode)
        if node is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return node

    def _counted(self, node: Node, status: os.stat_result) -> pyfuse3.EntryAttributes:
        """Answer with an entry, which the kernel counts as one lookup."""
        entry = self._attributes.entry(node, status)
        node.lookups += 1
        return entry

    # -- attributes -----------------------------------------------------------------------------------------------

    @answering
    async def lookup(self, parent_inode: int, name: bytes, _ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Find a name; that there is none is told with an entry 0, which the kernel keeps as well."""
        found = self._tree.lookup(self._node(parent_inode), name)
        if found is None:
            entry = pyfuse3.EntryAttributes()
            entry.st_ino = pyfuse3.InodeT(0)
            entry.entry_timeout = CACHE_SECONDS
            return entry
        return self._counted(*found)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Give back lookups."""
        self._tree.inodes.forget(inode_list)

    @answering
    async def getattr(self, inode: int, _ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Tell the attributes."""
        node = self._node(inode)
        return self._attributes.entry(node, self._tree.status(node))

    @answering
    async def setattr(
        self,
        inode: int,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        _fh: int | None,
        _ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Change size, owner, mode and times, in this order (a change of owner clears set-id bits)."""
        node = self._node(inode)
        await self._copy_up.file(node, truncate=bool(fields.update_size) and attr.st_size == 0)
        name, dir_fd = self._tree.place(node)
        follow = dir_fd is None
        if fields.update_size:
            fd = self._tree.open_file(node, os.O_WRONLY)
            try:
                os.ftruncate(fd, attr.st_size)
            finally:
                os.close(fd)
        if fields.update_uid or fields.update_gid:
            owner = self._attributes.stored_owner(
                attr.st_uid if fields.update_uid else -1, attr.st_gid if fields.update_gid else -1
            )
            os.chown(name, *owner, dir_fd=dir_fd, follow_symlinks=follow)
        if fields.update_mode:
            os.chmod(name, attr.st_mode & 0o7777, dir_fd=dir_fd)
        if fields.update_atime or fields.update_mtime:
            before = self._tree.status(node)
            atime_ns = attr.st_atime_ns if fields.update_atime else before.st_atime_ns
            mtime_ns = attr.st_mtime_ns if fields.update_mtime else before.st_mtime_ns
            os.utime(name, ns=(atime_ns, mtime_ns), dir_fd=dir_fd, follow_symlinks=follow)
        return self._attributes.entry(node, self._tree.status(node))

    @answering
    async def readlink(self, inode: int, _ctx: pyfuse3.RequestContext) -> bytes:
        """Tell the target of a symbolic link."""
        return self._tree.readlink(self._node(inode))

    @answering
    async def statfs(self, _ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """Tell the space of the file system the upper layer (or the top lower one) lies on."""
        roots = self._tree.layers.roots
        found = os.statvfs(roots[self._tree.layers.all[0]])
        answer = pyfuse3.StatvfsData()
        for field in ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "namemax"):
            setattr(answer, f"f_{field}", getattr(found, f"f_{field}"))
        return answer

    # -- names ----------------------------------------------------------------------------------------------------

    def _owner(self, ctx: pyfuse3.RequestContext) -> tuple[int, int]:
        return self._attributes.stored_owner(ctx.uid, ctx.gid)

    @answering
    async def create(
        self, parent_inode: int, name: bytes, mode: int, _flags: int, ctx: pyfuse3.RequestContext
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        """Make and open a regular file."""
        parent = self._node(parent_inode)
        node, status, fd = self._changes.create(parent, name, mode & 0o7777, self._owner(ctx), os.O_RDWR)
        return self._opened(node, fd), self._counted(node, status)

    @answering
    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, _rdev: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a fifo, a socket or an empty file; devices are refused."""
        return self._counted(*self._changes.mknod(self._node(parent_inode), name, mode, self._owner(ctx)))

    @answering
    async def mkdir(
        self, parent_inode: int, name: bytes, mode: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a directory."""
        return self._counted(*self._changes.mkdir(self._node(parent_inode), name, mode & 0o7777, self._owner(ctx)))

    @answering
    async def symlink(
        self, parent_inode: int, name: bytes, target: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a symbolic link."""
        return self._counted(*self._changes.symlink(self._node(parent_inode), name, target, self._owner(ctx)))

    @answering
    async def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, _ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Give a file one more name."""
        node = self._node(inode)
        return self._counted(node, await self._changes.link(node, self._node(new_parent_inode), new_name))

    @answering
    async def unlink(self, parent_inode: int, name: bytes, _ctx: pyfuse3.RequestContext) -> None:
        """Delete a file's name."""
        self._changes.remove(self._node(parent_inode), name, directory=False)

    @answering
    async def rmdir(self, parent_inode: int, name: bytes, _ctx: pyfuse3.RequestContext) -> None:
        """Delete an empty directory."""
        self._changes.remove(self._node(parent_inode), name, directory=True)

    @answering
    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        _ctx: pyfuse3.RequestContext,
    ) -> None:
        """Rename, replace or exchange."""
        old_parent, new_parent = self._node(parent_inode_old), self._node(parent_inode_new)
        await self._changes.rename(old_parent, name_old, new_parent, name_new, flags)

    # -- directories ----------------------------------------------------------------------------------------------

    @answering
    async def opendir(self, inode: int, _ctx: pyfuse3.RequestContext) -> int:
        """Open a directory; what it shows is noted at the first reading, so that offsets stay good."""
        node = self._node(inode)
        self._last_listing += 1
        self._listings[self._last_listing] = (node, None)
        return self._last_listing

    @answering
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """Tell names and attributes from ``start_id`` on; from 0 on (rewinddir) the names are noted afresh."""
        self._tree.inodes.trim_fds()
        node, names = self._listings[fh]
        if names is None or start_id == 0:
            names = [b".", b"..", *self._tree.list(node)]
            self._listings[fh] = (node, names)
        for position in range(start_id, len(names)):
            name = names[position]
            if position < 2:
                shown = node if position == 0 or node.parent is None else node.parent
                entry = self._attributes.entry(shown, self._tree.status(shown))
                if not pyfuse3.readdir_reply(token, name, entry, position + 1):
                    return
                continue
            found = self._tree.lookup(node, name)
            if found is None:
                continue
            if not pyfuse3.readdir_reply(token, name, self._attributes.entry(*found), position + 1):
                self._tree.inodes.release(found[0])
                return
            found[0].lookups += 1

    def _listed(self, fh: int) -> Node:
        return self._listings[fh][0]

    @answering
    async def releasedir(self, fh: int) -> None:
        """Close a directory."""
        del self._listings[fh]

    # -- extended attributes --------------------------------------------------------------------------------------

    @answering
    async def getxattr(self, inode: int, name: bytes, _ctx: pyfuse3.RequestContext) -> bytes:
        """Tell one attribute."""
        path, follow = self._tree.path(self._node(inode))
        return os.getxattr(path, _stored(name, errno.ENODATA), follow_symlinks=follow)

    @answering
    async def listxattr(self, inode: int, _ctx: pyfuse3.RequestContext) -> list[bytes]:
        """Tell the attributes' names, without our own."""
        path, follow = self._tree.path(self._node(inode))
        names = (shown_xattr(os.fsencode(name)) for name in os.listxattr(path, follow_symlinks=follow))
        return [name for name in names if name is not None]

    @answering
    async def setxattr(self, inode: int, name: bytes, value: bytes, _ctx: pyfuse3.RequestContext) -> None:
        """Set one attribute."""
        node = self._node(inode)
        stored = _stored(name, errno.EPERM)
        await self._copy_up.file(node)
        path, follow = self._tree.path(node)
        os.setxattr(path, stored, value, follow_symlinks=follow)

    @answering
    async def removexattr(self, inode: int, name: bytes, _ctx: pyfuse3.RequestContext) -> None:
        """Remove one attribute; a file that lacks it is not copied up."""
        node = self._node(inode)
        stored = _stored(name, errno.ENODATA)
        path, follow = self._tree.path(node)
        os.getxattr(path, stored, follow_symlinks=follow)
        await self._copy_up.file(node)
        path, follow = self._tree.path(node)
        os.removexattr(path, stored, follow_symlinks=follow)


def _stored(name: bytes, refusal: int) -> bytes:
    stored = stored_xattr(name)
    if stored is None:
        raise OSError(refusal, os.strerror(refusal))
    return stored
