"""Driver ``copy``: the layers are copied into one directory of the container, sharing blocks where the disk can.

Slow and large, but it needs nothing of the kernel beyond a bind mount.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless_pod.errors import HostUnready, Refused
from rootless_pod.fuse.driver import MountedRootfs
from rootless_pod.fuse.whiteout import OPAQUE_NAME, hidden_name, is_opaque, is_whiteout
from rootless_pod.linux.tree import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.fuse.driver import IdShift, RootfsRequest

FICLONE = 0x40049409
"""Source: linux/fs.h, _IOW(0x94, 9, int)."""
_CHUNK = 1 << 30
_MARKS = ("user.overlay.", "trusted.overlay.", "user.fuseoverlayfs.")


class Copy:
    """A full copy of the image for each container."""

    name = "copy"
    shifts_ids = True

    def mount(self, request: RootfsRequest) -> MountedRootfs:
        """Copy the layers unless a complete copy is there, and bind it to ``request.merged``.

        The copy is made under another name and renamed when complete: a killed one is swept by the next.

        Raises:
            Refused: a file could not be copied, or the bind mount failed.
        """
        from rootless_pod.fuse import native
        from rootless_pod.linux import mount

        try:
            tree = copied_tree(request.container_dir)
            if not os.path.isdir(tree):
                make_copy(request, tree)
            mount.bind(tree, request.merged, recursive=False)
            if request.read_only:
                native.remount_read_only(request.merged)
        except OSError as error:
            native.detach(request.merged)
            remedy = "free some space: rpod system prune" if error.errno in {errno.ENOSPC, errno.EDQUOT} else None
            raise Refused(f"cannot copy the image for {request.container_dir}: {error}", remedy=remedy) from error
        return MountedRootfs(path=request.merged)

    def unmount(self, request: RootfsRequest, mounted: MountedRootfs) -> None:  # noqa: ARG002 - the protocol's
        """Take the bind mount away and keep the copy; idempotent."""
        from rootless_pod.fuse import native

        native.detach(mounted.path)

    def probe(self, scratch_dir: str, *, id_shift: bool = False) -> None:
        """Copy two layers and work on them.

        Raises:
            HostUnready: not even a bind mount works here.
        """
        from rootless_pod.fuse.trial import try_driver

        try:
            try_driver(self, scratch_dir, id_shift=id_shift)
        except HostUnready as error:
            raise HostUnready(error.message, remedy=error.remedy or "run: rpod doctor") from error


def copied_tree(container_dir: str) -> str:
    """Return where a container's copy lies."""
    return f"{container_dir}/copy"


def make_copy(request: RootfsRequest, tree: str) -> None:
    """Copy all layers of ``request`` into ``tree``, which must not exist and appears complete or not at all.

    Raises:
        OSError: a file can't be read, made or named; the partial copy is removed.
    """
    parent, name = os.path.split(tree)
    leading = f".{name}-partial-"
    for left in os.listdir(parent):
        if left.startswith(leading):
            remove_tree(f"{parent}/{left}")
    staging = f"{parent}/{leading}{os.urandom(6).hex()}"
    os.mkdir(staging, 0o755)
    try:
        for layer in reversed(dict.fromkeys(request.lower_dirs)):
            LayerCopy(layer, staging, request.id_shift).run()
        os.rename(staging, tree)
    except BaseException:
        remove_tree(staging)
        raise


class LayerCopy:
    """Lays one layer over what was copied from those below it. Paths are ``bytes``: names may be anything."""

    def __init__(self, layer: str, target: str, id_shift: IdShift | None = None) -> None:
        """Name the two directories; nothing is touched yet."""
        self._layer = os.fsencode(layer)
        self._target = os.fsencode(target)
        self._shift = id_shift
        self._linked: dict[tuple[int, int], bytes] = {}
        self._reflink = True

    def run(self) -> None:
        """Copy (raises OSError)."""
        self._directory(self._layer, self._target)

    def _directory(self, source: bytes, target: bytes) -> None:
        """Copy what is in ``source``; attributes last, so that times and modes stay."""
        found = os.lstat(source)
        names = sorted(os.listdir(source))
        hidden = [gone for gone in map(hidden_name, names) if gone is not None]
        if is_opaque(source) or OPAQUE_NAME in names:
            hidden = os.listdir(target)
        for name in hidden:
            remove_tree(os.fsdecode(os.path.join(target, name)))
        for name in names:
            if name != OPAQUE_NAME and hidden_name(name) is None:
                self._entry(os.path.join(source, name), os.path.join(target, name))
        self._attributes(source, target, found)

    def _entry(self, source: bytes, target: bytes) -> None:
        found = os.lstat(source)
        if is_whiteout(found):
            remove_tree(os.fsdecode(target))
            return
        if stat.S_ISDIR(found.st_mode):
            if not (os.path.isdir(target) and not os.path.islink(target)):
                remove_tree(os.fsdecode(target))
                os.mkdir(target, 0o700)
            self._directory(source, target)
            return
        if os.path.lexists(target):
            remove_tree(os.fsdecode(target))
        first = self._linked.get((found.st_dev, found.st_ino))
        if first is not None:
            os.link(first, target, follow_symlinks=False)
            return
        if found.st_nlink > 1:
            self._linked[found.st_dev, found.st_ino] = target
        self._make(source, target, found)
        self._attributes(source, target, found)

    def _make(self, source: bytes, target: bytes, found: os.stat_result) -> None:
        if stat.S_ISREG(found.st_mode):
            self._content(source, target)
        elif stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(source), target)
        else:
            os.mknod(target, stat.S_IFMT(found.st_mode) | 0o600, found.st_rdev)

    def _content(self, source: bytes, target: bytes) -> None:
        from_fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            to_fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                if not (self._reflink and self._clone(from_fd, to_fd)):
                    copy_data(from_fd, to_fd)
            finally:
                os.close(to_fd)
        finally:
            os.close(from_fd)

    def _clone(self, from_fd: int, to_fd: int) -> bool:
        """Share the blocks of the two files; a file system that can't is asked once."""
        import fcntl

        try:
            fcntl.ioctl(to_fd, FICLONE, from_fd)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM}:
                raise
            self._reflink = False
            return False
        return True

    def _attributes(self, source: bytes, target: bytes, found: os.stat_result) -> None:
        """Set owner, extended attributes, mode and times, in the order that keeps setuid bits and times."""
        shift = self._shift
        uid = found.st_uid if shift is None else shift.shown_uid(found.st_uid)
        gid = found.st_gid if shift is None else shift.shown_gid(found.st_gid)
        made = os.lstat(target)
        if (made.st_uid, made.st_gid) != (uid, gid):
            os.chown(target, uid, gid, follow_symlinks=False)
        copy_xattrs(source, target)
        if not stat.S_ISLNK(found.st_mode):
            os.chmod(target, stat.S_IMODE(found.st_mode))
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)


def copy_data(from_fd: int, to_fd: int) -> None:
    """Copy a whole file and keep its holes (raises OSError)."""
    size = os.fstat(from_fd).st_size
    position = 0
    while position < size:
        try:
            start = os.lseek(from_fd, position, os.SEEK_DATA)
            end = os.lseek(from_fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break  # only a hole is left
            start, end = position, size
        _copy_range(from_fd, to_fd, start, end)
        position = end
    os.ftruncate(to_fd, size)


def _copy_range(from_fd: int, to_fd: int, start: int, end: int) -> None:
    position = start
    while position < end:
        try:
            count = os.copy_file_range(from_fd, to_fd, min(end - position, _CHUNK), position, position)
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}:
                raise
            data = os.pread(from_fd, min(end - position, 1 << 20), position)
            count = os.pwrite(to_fd, data, position) if data else 0
        if count == 0:
            return  # the file was cut short meanwhile
        position += count


def copy_xattrs(source: bytes, target: bytes) -> None:
    """Copy extended attributes but overlay's own marks; those a user may not set are left out (raises OSError)."""
    try:
        names = os.listxattr(source, follow_symlinks=False)
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.ENOSYS}:
            return
        raise
    for name in names:
        if name.startswith(_MARKS):
            continue
        try:
            value = os.getxattr(source, name, follow_symlinks=False)
            os.setxattr(target, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EPERM, errno.EACCES, errno.ENODATA}:
                raise
