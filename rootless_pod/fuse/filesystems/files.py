"""Open files of the overlay: a handle is the descriptor itself."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pyfuse3

from rootless_pod.fuse.filesystems.loop import loop
from rootless_pod.fuse.filesystems.requests import answering

if TYPE_CHECKING:
    from rootless_pod.fuse.filesystems.copy_up import CopyUp
    from rootless_pod.fuse.filesystems.inodes import Node
    from rootless_pod.fuse.filesystems.tree import Tree


class OpenFiles(pyfuse3.Operations):  # type: ignore[misc]  # pyfuse3 is not followed by mypy
    """The part of ``Overlay`` that reads and writes."""

    _tree: Tree
    _copy_up: CopyUp
    _volatile: bool
    _open: dict[int, Node]

    if TYPE_CHECKING:

        def _node(self, inode: int) -> Node: ...

    def _opened(self, node: Node, fd: int) -> pyfuse3.FileInfo:
        self._open[fd] = node
        if node.handles is None:
            node.handles = set()
        node.handles.add(fd)
        return pyfuse3.FileInfo(fh=pyfuse3.FileHandleT(fd), keep_cache=True)

    @answering
    async def open(self, inode: int, flags: int, _ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open a file; for writing it is copied up first.

        A writer's descriptor can read as well: with the write-back cache the kernel fills up pages itself,
        and it places appended data itself, so ``O_APPEND`` is not passed on.
        """
        node = self._node(inode)
        if flags & os.O_ACCMODE == os.O_RDONLY and not flags & os.O_TRUNC:
            return self._opened(node, self._tree.open_file(node, os.O_RDONLY))
        await self._copy_up.file(node, truncate=bool(flags & os.O_TRUNC))
        return self._opened(node, self._tree.open_file(node, os.O_RDWR | (flags & os.O_TRUNC)))

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """Read from the descriptor."""
        try:
            return os.pread(fh, size, off)
        except OSError as error:
            raise pyfuse3.FUSEError(error.errno or errno.EIO) from None

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        """Write to the descriptor."""
        try:
            return os.pwrite(fh, buf, off)
        except OSError as error:
            raise pyfuse3.FUSEError(error.errno or errno.EIO) from None

    async def flush(self, _fh: int) -> None:
        """Have the kernel not ask again: it writes dirty pages back before a close by itself."""
        raise pyfuse3.FUSEError(errno.ENOSYS)

    @answering
    async def release(self, fh: int) -> None:
        """Close the descriptor after the last close(2)."""
        node = self._open.pop(fh)
        if node.handles is not None:
            node.handles.discard(fh)
        os.close(fh)
        if node.lookups <= 0:
            self._tree.inodes.release(node)

    @answering
    async def fsync(self, fh: int, datasync: bool) -> None:  # noqa: FBT001 - pyfuse3 calls it so
        """Bring the file to the disk, in a worker thread: it may take long."""
        if not self._volatile:
            await loop.in_thread(os.fdatasync if datasync else os.fsync, fh)

    @answering
    async def fsyncdir(self, fh: int, _datasync: bool) -> None:  # noqa: FBT001 - pyfuse3 calls it so
        """Bring the upper part of a directory to the disk."""
        node = self._listed(fh)
        if self._volatile or not node.in_upper or node.orphan_fd >= 0:
            return
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._tree.inodes.dir_fd(node, 0))
        try:
            await loop.in_thread(os.fsync, fd)
        finally:
            os.close(fd)

    if TYPE_CHECKING:

        def _listed(self, fh: int) -> Node: ...
