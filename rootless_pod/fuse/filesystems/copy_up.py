"""Copy-up: bring a file or directory of a lower layer into the upper one before it is changed.

The copy is made under a fresh name in the work directory and renamed into place when complete, so a
killed server leaves either nothing or all of it. Only the data of big files is copied in a worker thread;
all else runs without a pause and so without locks.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING

from rootless_pod.fuse.filesystems.layers import (
    DOT_WHITEOUT,
    UPPER,
    list_entries,
    remove_tree,
    shown_xattr,
    through,
)
from rootless_pod.fuse.filesystems.loop import Lock, loop
from rootless_pod.fuse.whiteout import OPAQUE_NAME, is_whiteout

if TYPE_CHECKING:
    from rootless_pod.fuse.filesystems.inodes import Node
    from rootless_pod.fuse.filesystems.tree import Tree

FICLONE = 0x40049409
"""Source: linux/fs.h."""
THREAD_SIZE_BYTES = 1 << 20
TREE_ENTRIES = 8192
TREE_BYTES = 256 << 20
"""Up to this size a directory of lower layers is brought up to be renamed; beyond it programs have to copy."""
_CHUNK_BYTES = 8 << 20
_NO_CLONE = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM}
_NO_XATTR = {errno.EOPNOTSUPP, errno.EPERM, errno.EACCES}


class CopyUp:
    """Copies into the upper layer of one tree."""

    def __init__(self, tree: Tree, *, tree_entries: int = TREE_ENTRIES, tree_bytes: int = TREE_BYTES) -> None:
        """Serve ``tree``; directories up to these sizes are brought up whole to be renamed."""
        self._tree_entries = tree_entries
        self._tree_bytes = tree_bytes
        self._tree = tree
        self._layers = tree.layers
        self._clones = True

    async def file(self, node: Node, *, truncate: bool = False) -> None:
        """Make sure that ``node`` (of any type) lies in the upper layer; ``truncate`` leaves out its data.

        Raises:
            OSError: ``EROFS`` without an upper layer, ``EPERM`` for a device, or what the copying met.
        """
        if node.in_upper:
            return
        if node.is_dir:
            self.directory(node)
            return
        if not self._layers.writable:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), node.name)
        if node.lock is None:
            node.lock = Lock()
        async with node.lock:
            if not node.in_upper:
                await self._copy_node(node, truncate=truncate)
        node.lock = None

    def directory(self, node: Node) -> int:
        """Make sure that the directory lies in the upper layer; return its descriptor there.

        Raises:
            OSError: ``EROFS`` without an upper layer, ``ENOENT`` for a deleted directory.
        """
        if not node.in_upper:
            if not self._layers.writable:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), node.name)
            missing = [node]
            while (above := missing[-1].parent) is not None and not above.in_upper:
                missing.append(above)
            for below in reversed(missing):
                self._copy_directory(below)
        return self._tree.inodes.dir_fd(node, UPPER)

    async def tree(self, node: Node) -> None:
        """Bring up a directory with all below it: afterwards no lower layer takes part in it.

        Raises:
            OSError: ``EXDEV``, it is too big for that; nothing was changed.
        """
        below: list[Node] = []
        try:
            self._gather(node, below)
            for inner in (node, *below):
                self._tree.inodes.trim_fds()
                await self.file(inner)
            if node.parent is None:
                raise FileNotFoundError(errno.ENOENT, "directory was deleted", node.name)
            self._layers.set_opaque(self._tree.inodes.dir_fd(node.parent, UPPER), node.name)
            for inner in (node, *below):
                if inner.is_dir and inner.orphan_fd < 0:
                    self._tree.inodes.trim_fds()
                    self._close_lower(inner)
        finally:
            self._tree.inodes.forget([(inner.ident, 1) for inner in below])

    def _gather(self, node: Node, below: list[Node]) -> None:
        """Collect all nodes below ``node``, parents first, each held by one lookup."""
        size = 0
        waiting = [node]
        while waiting:
            self._tree.inodes.trim_fds()
            directory = waiting.pop()
            for name in self._tree.list(directory):
                found = self._tree.lookup(directory, name)
                if found is None:
                    continue
                inner, status = found
                inner.lookups += 1
                below.append(inner)
                size += 0 if inner.in_upper else status.st_size
                if len(below) > self._tree_entries or size > self._tree_bytes:
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), node.name)
                if inner.is_dir:
                    waiting.append(inner)

    def _close_lower(self, node: Node) -> None:
        """Take the lower layers out of a directory that was brought up whole, and the whiteouts against them."""
        dir_fd = self._tree.inodes.dir_fd(node, UPPER)
        for name, special in list_entries(dir_fd):
            whited = special and is_whiteout(os.stat(name, dir_fd=dir_fd, follow_symlinks=False))
            if whited or (name.startswith(DOT_WHITEOUT) and name != OPAQUE_NAME):
                os.unlink(name, dir_fd=dir_fd)
        self._tree.inodes.close_fds(node)
        node.layers = (UPPER,)

    def _copy_directory(self, node: Node) -> None:
        if node.parent is None:
            raise FileNotFoundError(errno.ENOENT, "directory was deleted", node.name)
        status = self._tree.status(node)
        source, _follow = self._tree.path(node)
        parent_fd = self._tree.inodes.dir_fd(node.parent, UPPER)
        name = self._layers.work_name()
        os.mkdir(name, 0o700, dir_fd=self._layers.work)
        try:
            self._copy_metadata(source, name, status)
            self._move_in(name, parent_fd, node.name)
        except OSError:
            remove_tree(self._layers.work, name)
            raise
        node.layers = (UPPER, *node.layers)

    async def _copy_node(self, node: Node, *, truncate: bool) -> None:
        status = self._tree.status(node)
        name = self._layers.work_name()
        try:
            if stat.S_ISREG(status.st_mode):
                await self._copy_regular(node, name, 0 if truncate else status.st_size)
            elif stat.S_ISLNK(status.st_mode):
                os.symlink(self._tree.readlink(node), name, dir_fd=self._layers.work)
            elif stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode):
                os.mknod(name, stat.S_IFMT(status.st_mode) | 0o600, dir_fd=self._layers.work)
            else:
                raise PermissionError(errno.EPERM, "devices can't be copied up", node.name)
            source, follow = self._tree.path(node)
            self._copy_metadata(source, name, status, follow=follow)
            self._install(node, name)
        except OSError:
            remove_tree(self._layers.work, name)
            raise

    async def _copy_regular(self, node: Node, name: bytes, size: int) -> None:
        source = self._tree.open_file(node, os.O_RDONLY)
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
            target = os.open(name, flags, 0o600, dir_fd=self._layers.work)
            try:
                if size == 0 or self._clone(source, target):
                    return
                if size > THREAD_SIZE_BYTES:
                    await loop.in_thread(copy_data, source, target, size)
                else:
                    copy_data(source, target, size)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _clone(self, source: int, target: int) -> bool:
        if not self._clones:
            return False
        try:
            fcntl.ioctl(target, FICLONE, source)
        except OSError as error:
            if error.errno not in _NO_CLONE:
                raise
            self._clones = False
            return False
        return True

    def _copy_metadata(self, source: bytes, name: bytes, status: os.stat_result, *, follow: bool = False) -> None:
        work = self._layers.work
        if status.st_uid or status.st_gid:
            try:
                os.chown(name, status.st_uid, status.st_gid, dir_fd=work, follow_symlinks=False)
            except OSError as error:
                # An owner without a mapping here (single-id mode): the copy belongs to the one id there is.
                if error.errno not in {errno.EINVAL, errno.EPERM, errno.EOVERFLOW}:
                    raise
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=work)
        target = through(work, name)
        try:
            attributes = os.listxattr(source, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in _NO_XATTR:
                raise
            attributes = []
        for attribute in attributes:
            if shown_xattr(os.fsencode(attribute)) is not None:
                _copy_xattr(source, target, attribute, follow=follow)
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=work, follow_symlinks=False)

    def _move_in(self, work_name: bytes, parent_fd: int, name: bytes) -> None:
        """Rename from the work directory into place, without a trace in the directory's times."""
        before = os.fstat(parent_fd)
        os.rename(work_name, name, src_dir_fd=self._layers.work, dst_dir_fd=parent_fd)
        os.utime(b".", ns=(before.st_atime_ns, before.st_mtime_ns), dir_fd=parent_fd)

    def _install(self, node: Node, work_name: bytes) -> None:
        """Make the finished copy the node's file, under all names the node is known by."""
        work = self._layers.work
        names = node.names()
        copy = os.open(work_name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=work)
        try:
            for parent, _name in names:
                self.directory(parent)
            for parent, name in names[1:]:
                parent_fd = self._tree.inodes.dir_fd(parent, UPPER)
                os.link(work_name, name, src_dir_fd=work, dst_dir_fd=parent_fd, follow_symlinks=False)
            if names:
                self._move_in(work_name, self._tree.inodes.dir_fd(names[0][0], UPPER), names[0][1])
            else:
                os.unlink(work_name, dir_fd=work)
                os.dup2(copy, node.orphan_fd, inheritable=False)
            for handle in node.handles or ():
                _point_at(handle, copy)
            status = os.fstat(copy)
        finally:
            os.close(copy)
        node.layers = (UPPER,)
        self._tree.inodes.set_key(node, (status.st_dev, status.st_ino) if len(names) > 1 else None)


def _point_at(handle: int, copy: int) -> None:
    """Let an open (read-only) handle read the copy from now on."""
    fd = os.open(b"/proc/self/fd/%d" % copy, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.dup2(fd, handle, inheritable=False)
    finally:
        os.close(fd)


def _copy_xattr(source: bytes, target: bytes, attribute: str, *, follow: bool) -> None:
    try:
        value = os.getxattr(source, attribute, follow_symlinks=follow)
        os.setxattr(target, attribute, value, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_XATTR and error.errno != errno.ENODATA:
            raise


def copy_data(source: int, target: int, size: int) -> None:
    """Copy ``size`` bytes between two files, holes as holes; runs in a worker thread for big files."""
    os.ftruncate(target, size)
    offset = 0
    while offset < size:
        try:
            start = os.lseek(source, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            if error.errno != errno.EINVAL:
                raise
            start, end = offset, size
        else:
            end = os.lseek(source, start, os.SEEK_HOLE)
        _copy_range(source, target, start, end)
        offset = end


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        length = min(_CHUNK_BYTES, end - start)
        try:
            copied = os.copy_file_range(source, target, length, start, start)
        except OSError as error:
            if error.errno not in _NO_CLONE:
                raise
            copied = os.pwrite(target, os.pread(source, min(length, 1 << 20), start), start)
        if copied == 0:
            return
        start += copied
