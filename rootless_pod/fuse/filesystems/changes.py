"""Changes of names in the merged tree: make, delete, link and rename, with the whiteouts they need.

Each change that must not be half done (a name that goes from visible to hidden or back) is one rename(2) out of
or into the work directory. Owners are stored ids.

Source: the order of steps follows overlayfs (fs/overlayfs/dir.c) without ``redirect_dir`` and ``index``.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from rootless_pod.fuse.filesystems.layers import DOT_WHITEOUT, UPPER, remove_tree
from rootless_pod.fuse.whiteout import is_whiteout
from rootless_pod.linux.rename import RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT, renameat2

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from rootless_pod.fuse.filesystems.copy_up import CopyUp
    from rootless_pod.fuse.filesystems.inodes import Node
    from rootless_pod.fuse.filesystems.tree import Tree

    Result = TypeVar("Result")

Owner = tuple[int, int]
_SET_IDS = stat.S_ISUID | stat.S_ISGID


class Changes:
    """Makes, deletes, links and renames in the upper layer of one tree."""

    def __init__(self, tree: Tree, copy_up: CopyUp) -> None:
        """Change ``tree``, bringing up with ``copy_up`` what has to be."""
        self._tree = tree
        self._layers = tree.layers
        self._copy_up = copy_up

    # -- making ---------------------------------------------------------------------------------------------------

    def create(
        self, parent: Node, name: bytes, mode: int, owner: Owner, flags: int
    ) -> tuple[Node, os.stat_result, int]:
        """Make a regular file and open it with ``flags``; return its node, status and descriptor.

        Raises:
            FileExistsError: the upper layer already shows that name.
        """
        opened = -1

        def make(new_name: bytes, dir_fd: int) -> None:
            nonlocal opened
            opened = os.open(
                new_name, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=dir_fd
            )

        node, status = self._make(parent, name, mode | stat.S_IFREG, owner, make)
        return node, status, opened

    def mkdir(self, parent: Node, name: bytes, mode: int, owner: Owner) -> tuple[Node, os.stat_result]:
        """Make a directory, opaque if it stands in the place of a deleted one."""
        return self._make(parent, name, mode | stat.S_IFDIR, owner, lambda new, fd: os.mkdir(new, mode, dir_fd=fd))

    def symlink(self, parent: Node, name: bytes, target: bytes, owner: Owner) -> tuple[Node, os.stat_result]:
        """Make a symbolic link."""
        return self._make(parent, name, stat.S_IFLNK | 0o777, owner, lambda new, fd: os.symlink(target, new, dir_fd=fd))

    def mknod(self, parent: Node, name: bytes, mode: int, owner: Owner) -> tuple[Node, os.stat_result]:
        """Make a fifo, a socket or an empty file.

        Raises:
            PermissionError: it is a device; user namespaces have none.
        """
        if stat.S_IFMT(mode) in {stat.S_IFCHR, stat.S_IFBLK}:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), name)
        return self._make(parent, name, mode, owner, lambda new, fd: os.mknod(new, mode, dir_fd=fd))

    def _make(
        self, parent: Node, name: bytes, mode: int, owner: Owner, make: Callable[[bytes, int], None]
    ) -> tuple[Node, os.stat_result]:
        _check_name(name)
        parent_fd = self._copy_up.directory(parent)
        above = os.fstat(parent_fd)
        if above.st_mode & stat.S_ISGID:
            owner = (owner[0], above.st_gid)
            if stat.S_ISDIR(mode):
                mode |= stat.S_ISGID
        over_deleted = stat.S_ISDIR(mode) and self._tree.in_lower(parent, name) is not None
        if over_deleted:
            self._make_in_work(parent_fd, name, mode, owner, make)
        else:
            try:
                make(name, parent_fd)
            except FileExistsError:
                if not is_whiteout(os.stat(name, dir_fd=parent_fd, follow_symlinks=False)):
                    raise
                self._make_in_work(parent_fd, name, mode, owner, make)
            else:
                try:
                    _own(name, parent_fd, mode, owner)
                except OSError:
                    remove_tree(parent_fd, name)
                    raise
        self._layers.clear_dot_whiteout(parent_fd, name)
        status = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        return self._tree.inodes.add(parent, name, status, (UPPER,)), status

    def _make_in_work(
        self, parent_fd: int, name: bytes, mode: int, owner: Owner, make: Callable[[bytes, int], None]
    ) -> None:
        """Make it complete in the work directory, then put it in the place of a whiteout."""
        work, work_name = self._layers.work, self._layers.work_name()
        make(work_name, work)
        try:
            _own(work_name, work, mode, owner)
            if stat.S_ISDIR(mode):
                self._layers.set_opaque(work, work_name)
            self._replace_whiteout(work, work_name, parent_fd, name, is_dir=stat.S_ISDIR(mode))
        finally:
            remove_tree(work, work_name)

    def _replace_whiteout(self, from_fd: int, old: bytes, to_fd: int, name: bytes, *, is_dir: bool) -> None:
        """Rename onto ``name``, which may be a whiteout; after a directory's move that whiteout lies at ``old``."""
        if is_dir and _is_whiteout_at(to_fd, name):
            renameat2(from_fd, old, to_fd, name, RENAME_EXCHANGE)
        else:
            os.rename(old, name, src_dir_fd=from_fd, dst_dir_fd=to_fd)

    async def link(self, node: Node, parent: Node, name: bytes) -> os.stat_result:
        """Give the file one more name; return its new status."""
        _check_name(name)
        await self._copy_up.file(node)
        parent_fd = self._copy_up.directory(parent)
        source, source_fd = self._tree.place(node)
        if source_fd is None:
            raise FileNotFoundError(errno.ENOENT, "file was deleted", name)
        try:
            os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        except FileExistsError:
            if not _is_whiteout_at(parent_fd, name):
                raise
            work_name = self._layers.work_name()
            os.link(source, work_name, src_dir_fd=source_fd, dst_dir_fd=self._layers.work, follow_symlinks=False)
            os.rename(work_name, name, src_dir_fd=self._layers.work, dst_dir_fd=parent_fd)
        self._layers.clear_dot_whiteout(parent_fd, name)
        self._tree.inodes.attach(node, parent, name)
        status = self._tree.status(node)
        self._tree.inodes.set_key(node, (status.st_dev, status.st_ino))
        return status

    # -- deleting -------------------------------------------------------------------------------------------------

    def remove(self, parent: Node, name: bytes, *, directory: bool) -> None:
        """Delete a file, or an empty directory.

        Raises:
            FileNotFoundError: nothing is shown there.
            OSError: ``ENOTEMPTY``, ``ENOTDIR``, ``EISDIR``.
        """
        looked_up = self._tree.lookup(parent, name)
        if looked_up is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        node = looked_up[0]
        if node.is_dir != directory:
            number = errno.ENOTDIR if directory else errno.EISDIR
            raise OSError(number, os.strerror(number), name)
        if directory and not self._tree.is_empty(node):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), name)
        parent_fd = self._copy_up.directory(parent)
        buried = self._open_last_name(node)
        try:
            self._take_away(parent, parent_fd, name, in_upper=node.in_upper, directory=directory)
        except OSError:
            if buried >= 0:
                os.close(buried)
            raise
        self._lose_name(node, parent, name, buried)

    def _open_last_name(self, node: Node) -> int:
        """Return a descriptor that keeps a file reachable whose last known name is about to go, or -1."""
        if len(node.names()) != 1 or (node.lookups <= 0 and not node.handles):
            return -1
        name, dir_fd = self._tree.place(node)
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)

    def _lose_name(self, node: Node, parent: Node, name: bytes, buried: int) -> None:
        if buried >= 0:
            node.orphan_fd = buried
        self._tree.inodes.close_fds(node)
        self._tree.inodes.detach(node, parent, name)
        self._tree.inodes.release(node)

    def _take_away(self, parent: Node, parent_fd: int, name: bytes, *, in_upper: bool, directory: bool) -> None:
        """Remove what the upper layer has under ``name`` and hide what the lower layers have."""
        hide = self._tree.in_lower(parent, name) is not None
        if not in_upper:
            self._layers.make_whiteout(parent_fd, name)
            return
        work, work_name = self._layers.work, self._layers.work_name()
        if hide and self._layers.can_mknod:
            os.mknod(work_name, stat.S_IFCHR, 0, dir_fd=work)
            if directory:
                renameat2(work, work_name, parent_fd, name, RENAME_EXCHANGE)
                remove_tree(work, work_name)
            else:
                os.rename(work_name, name, src_dir_fd=work, dst_dir_fd=parent_fd)
            return
        if hide:
            self._layers.make_whiteout(parent_fd, name)
        if directory:
            # It may hold whiteouts: out of sight in one step, then emptied.
            os.rename(name, work_name, src_dir_fd=parent_fd, dst_dir_fd=work)
            remove_tree(work, work_name)
        else:
            os.unlink(name, dir_fd=parent_fd)

    # -- renaming -------------------------------------------------------------------------------------------------

    async def rename(self, old_parent: Node, old: bytes, new_parent: Node, new: bytes, flags: int) -> None:
        """Rename, as renameat2(2) with ``RENAME_NOREPLACE`` or ``RENAME_EXCHANGE``.

        Raises:
            OSError: ``EXDEV`` for a big directory with parts in lower layers (programs then copy and delete),
                ``ENOTEMPTY``, ``EEXIST``, ``ENOENT``, ``EINVAL`` for other flags.
        """
        if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), old)
        _check_name(new)
        source = self._node_at(old_parent, old)
        target = self._tree.lookup(new_parent, new)
        if target is not None and flags & RENAME_NOREPLACE:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
        if target is not None and target[0] is source and not flags & RENAME_EXCHANGE:
            return
        await self._bring_up(source)
        if flags & RENAME_EXCHANGE:
            await self._exchange(source, old_parent, old, new_parent, new)
            return
        if target is not None:
            self._check_replaceable(source, target[0], new)
        old_fd = self._copy_up.directory(old_parent)
        new_fd = self._copy_up.directory(new_parent)
        if target is not None and target[0].is_dir:
            self.remove(new_parent, new, directory=True)
            target = None
            # Removing it may have let go of descriptors.
            old_fd, new_fd = self._copy_up.directory(old_parent), self._copy_up.directory(new_parent)
        if source.is_dir and len(new_parent.layers) > 1:
            self._layers.set_opaque(old_fd, old)
        buried = self._open_last_name(target[0]) if target is not None else -1
        try:
            self._move(source, (old_parent, old_fd, old), (new_fd, new))
        except OSError:
            if buried >= 0:
                os.close(buried)
            raise
        self._layers.clear_dot_whiteout(new_fd, new)
        if target is not None:
            self._lose_name(target[0], new_parent, new, buried)
        self._tree.inodes.attach(source, new_parent, new)
        self._tree.inodes.detach(source, old_parent, old)

    def _node_at(self, parent: Node, name: bytes) -> Node:
        looked_up = self._tree.lookup(parent, name)
        if looked_up is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return looked_up[0]

    async def _bring_up(self, node: Node) -> None:
        if node.is_dir and not self._tree.is_pure_upper(node):
            await self._copy_up.tree(node)
        else:
            await self._copy_up.file(node)

    def _check_replaceable(self, source: Node, target: Node, name: bytes) -> None:
        number = 0
        if target.is_dir and not source.is_dir:
            number = errno.EISDIR
        elif source.is_dir and not target.is_dir:
            number = errno.ENOTDIR
        elif target.is_dir and not self._tree.is_empty(target):
            number = errno.ENOTEMPTY
        if number:
            raise OSError(number, os.strerror(number), name)

    def _move(self, source: Node, old_place: tuple[Node, int, bytes], new_place: tuple[int, bytes]) -> None:
        """Rename in the upper layer and leave a whiteout behind where a lower layer has the old name."""
        old_parent, old_fd, old = old_place
        new_fd, new = new_place
        hide = self._tree.in_lower(old_parent, old) is not None
        if source.is_dir and _is_whiteout_at(new_fd, new):
            renameat2(old_fd, old, new_fd, new, RENAME_EXCHANGE)
            if not hide:
                os.unlink(old, dir_fd=old_fd)
        elif hide and self._layers.can_mknod:
            try:
                renameat2(old_fd, old, new_fd, new, RENAME_WHITEOUT)
            except OSError as error:
                if error.errno not in {errno.EINVAL, errno.EPERM}:
                    raise
                os.rename(old, new, src_dir_fd=old_fd, dst_dir_fd=new_fd)
                self._layers.make_whiteout(old_fd, old)
        else:
            if hide:
                self._layers.make_whiteout(old_fd, old)
            os.rename(old, new, src_dir_fd=old_fd, dst_dir_fd=new_fd)

    async def _exchange(self, source: Node, old_parent: Node, old: bytes, new_parent: Node, new: bytes) -> None:
        target = self._node_at(new_parent, new)
        await self._bring_up(target)
        old_fd = self._copy_up.directory(old_parent)
        new_fd = self._copy_up.directory(new_parent)
        if source.is_dir and len(new_parent.layers) > 1:
            self._layers.set_opaque(old_fd, old)
        if target.is_dir and len(old_parent.layers) > 1:
            self._layers.set_opaque(new_fd, new)
        renameat2(old_fd, old, new_fd, new, RENAME_EXCHANGE)
        inodes = self._tree.inodes
        inodes.attach(source, new_parent, new)
        inodes.attach(target, old_parent, old)
        inodes.detach(source, old_parent, old)
        inodes.detach(target, new_parent, new)


def _check_name(name: bytes) -> None:
    """Refuse names that would read as whiteouts (fuse-overlayfs refuses them as well)."""
    if name.startswith(DOT_WHITEOUT):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)


def _is_whiteout_at(dir_fd: int, name: bytes) -> bool:
    try:
        return is_whiteout(os.stat(name, dir_fd=dir_fd, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _own(name: bytes, dir_fd: int, mode: int, owner: Owner) -> None:
    """Give a new file its owner, and the set-id bits that a change of owner clears."""
    if owner != (0, 0):
        os.chown(name, *owner, dir_fd=dir_fd, follow_symlinks=False)
    if mode & _SET_IDS:
        os.chmod(name, stat.S_IMODE(mode), dir_fd=dir_fd)
