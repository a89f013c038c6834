"""Unpacks one layer into a directory of its own, in the form the storage drivers read.

Runs as uid 0 of the user's namespace, in one thread, and sets the umask while it does. The directory must be
nobody else's (a staging directory): that is what lets names be created without looking first.

A layer is unpacked as it stands, for itself; see ``lower`` for the two cases that look at the layers below.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless_pod.errors import Corrupt, HostUnready
from rootless_pod.frozen import Frozen
from rootless_pod.fuse import whiteout
from rootless_pod.oci.digest import new_hash
from rootless_pod.storage import tar
from rootless_pod.storage.beneath import OPEN_DIRECTORY, clean_name
from rootless_pod.storage.owners import DEFAULT_ACL, ROOTLESS_XATTR, encode_owner, forget_xattrs, set_xattrs
from rootless_pod.storage.placing import Placing, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.storage.compress import Readable

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SPECIAL_BITS = 0o7000
_PIECE = 1 << 20
_SPACE_CHECK_BYTES = 64 << 20
_SKIPPED_LISTED = 20
_FREE_SPACE = "free space, or give another place with --root DIR"


class UnpackLimits(Frozen):
    """What one layer may be at most, and how much of the disk it must leave free."""

    entries: int = 20_000_000
    min_free_bytes: int = 64 << 20


class UnpackResult(Frozen):
    """What was unpacked. ``diff_id`` covers every byte of the stream; ``size_bytes`` is the sum of file sizes.

    ``skipped`` names what an unprivileged user can't make (device nodes, some xattrs), at most 20 lines.
    """

    diff_id: str
    size_bytes: int
    entries: int
    opaque_root: bool = False
    skipped: tuple[str, ...] = ()


def unpack_layer(
    stream: Readable,
    diff_dir: str,
    *,
    single_id: bool,
    lower_dirs: tuple[str, ...] = (),
    limits: UnpackLimits | None = None,
    digest: Any = None,
) -> UnpackResult:
    """Unpack the uncompressed tar ``stream`` into the empty directory ``diff_dir`` and read it to its end.

    With ``single_id`` nothing is chowned: the owner wanted goes to ``user.rootlesscontainers`` instead.
    ``lower_dirs`` are the unpacked layers below, **top first**. After a failure the directory holds a part of the
    layer, to be thrown away. ``digest`` is the hash of a stream that keeps one itself (``ReadAhead``).

    Raises:
        Corrupt: the archive is damaged or tries something no layer may.
        HostUnready: the disk is full, or an owner has no id in the user namespace.
    """
    if digest is None:
        digest = new_hash()
        reader = tar.TarReader(stream, on_bytes=digest.update)
    else:
        reader = tar.TarReader(stream)
    unpacker = _Unpacker(reader, diff_dir, single_id=single_id, lower_dirs=lower_dirs, limits=limits or UnpackLimits())
    mask = os.umask(0)
    try:
        unpacker.run()
        reader.drain()
    finally:
        os.umask(mask)
        unpacker.close()
    return UnpackResult(
        diff_id=f"sha256:{digest.hexdigest()}",
        size_bytes=unpacker.size_bytes,
        entries=unpacker.entries,
        opaque_root=unpacker.opaque_root,
        skipped=tuple(unpacker.skipped),
    )


class _Unpacker(Placing):
    """The state of one ``unpack_layer``: what each kind of entry becomes."""

    def __init__(
        self,
        reader: tar.TarReader,
        diff_dir: str,
        *,
        single_id: bool,
        lower_dirs: tuple[str, ...],
        limits: UnpackLimits,
    ) -> None:
        super().__init__(diff_dir, single_id=single_id, lower_dirs=lower_dirs)
        self._reader = reader
        self._limits = limits
        self._unchecked_bytes = 0
        self.entries = 0
        self.opaque_root = False
        self.skipped: list[str] = []

    def run(self) -> None:
        """Unpack every entry, then finish the directories."""
        reader = self._reader
        name = b""
        try:
            self._check_space()
            while (entry := reader.next()) is not None:
                name = entry.name
                self.entries += 1
                if self.entries > self._limits.entries:
                    raise Corrupt(f"layer has more than {self._limits.entries} entries")
                self._entry(entry, clean_name(name))
            self._finish_directories()
        except OSError as cause:
            raise self._meaning(cause, name) from cause

    @staticmethod
    def _meaning(cause: OSError, name: bytes) -> Exception:
        if cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return HostUnready(
                f"disk full while unpacking {show(name) if name else 'a layer'}",
                remedy=_FREE_SPACE,
            )
        if cause.errno == errno.EFBIG:
            return HostUnready(
                f"cannot unpack {show(name)}: no file may be that large here",
                remedy="look at: ulimit -f; or keep images on another file system, with --root DIR",
            )
        if cause.errno in (errno.ENAMETOOLONG, errno.EILSEQ):
            return Corrupt(f"layer entry {show(name)}: {os.strerror(cause.errno)}")
        return HostUnready(f"cannot unpack {show(name)}: {cause.strerror}")

    def _entry(self, entry: tar.Entry, path: bytes) -> None:
        if not path:
            if entry.kind == tar.DIRECTORY:
                if path in self._directories:
                    self._forget_attributes(path, self._tree.root_fd)
                self._directory_attributes(entry, path, self._tree.root_fd)
            return
        parent, _, base = path.rpartition(b"/")
        kind = entry.kind
        dir_fd = self._tree.parent(parent)
        if base[:4] == b".wh.":
            self._whiteout(path, parent, base)
            return
        if b"/.wh..wh." in path or path[:8] == b".wh..wh.":
            return  # bookkeeping of aufs
        if self._plain_whiteouts and self._end_whiteout(path, dir_fd, base) and kind == tar.DIRECTORY:
            os.mkdir(base, 0o755, dir_fd=dir_fd)
            self._make_opaque(dir_fd, base)
        if kind == tar.REGULAR:
            self._file(entry, dir_fd, path, base)
        elif kind == tar.DIRECTORY:
            self._directory(entry, dir_fd, path, base)
        elif kind == tar.SYMLINK:
            self._symlink(entry, dir_fd, path, base)
        elif kind == tar.HARD_LINK:
            self._hard_link(entry, parent, path, base)
        elif kind == tar.FIFO:
            self._fifo(entry, dir_fd, path, base)
        else:
            self._skip(f"device node {show(path)}")

    def _skip(self, text: str) -> None:
        if len(self.skipped) < _SKIPPED_LISTED:
            self.skipped.append(text)

    # -- kinds of entries

    def _file(self, entry: tar.Entry, dir_fd: int, path: bytes, base: bytes) -> None:
        try:
            fd = os.open(base, _CREATE, entry.mode & 0o777, dir_fd=dir_fd)
        except FileExistsError:
            self._clear(dir_fd, path, base)
            fd = os.open(base, _CREATE, entry.mode & 0o777, dir_fd=self._again(path))
        try:
            if entry.size:
                self._content(entry, fd)
            if entry.uid or entry.gid or entry.xattrs or entry.mode & _SPECIAL_BITS:
                self._own(entry, fd, path)
                if entry.mode & _SPECIAL_BITS:
                    os.fchmod(fd, entry.mode)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)

    def _again(self, path: bytes) -> int:
        """Return the parent's fd after something was removed."""
        return self._tree.parent(path.rpartition(b"/")[0])

    def _content(self, entry: tar.Entry, fd: int) -> None:
        self.size_bytes += entry.size
        self._unchecked_bytes += entry.stored_bytes
        if self._unchecked_bytes > _SPACE_CHECK_BYTES:
            self._check_space(entry.stored_bytes)
        if entry.sparse is not None:
            for offset, length in entry.sparse:
                os.lseek(fd, offset, os.SEEK_SET)
                self._write(fd, length)
            os.ftruncate(fd, entry.size)
            return
        self._write(fd, entry.size)

    def _write(self, fd: int, count: int) -> None:
        read, write = self._reader.read, os.write
        while count:
            data = read(min(count, _PIECE))
            if not data:
                raise Corrupt("an entry has less data than its size says")
            count -= len(data)
            written = write(fd, data)
            while written < len(data):
                data = data[written:]
                written = write(fd, data)

    def _check_space(self, wanted: int = 0) -> None:
        self._unchecked_bytes = 0
        found = os.fstatvfs(self._tree.root_fd)
        free, kept = found.f_bavail * found.f_frsize, self._limits.min_free_bytes
        if free < wanted + kept:
            next_file = f"the layer's next file has {wanted >> 20} MiB, " if wanted else ""
            raise HostUnready(
                f"disk full: {free >> 20} MiB are free, {next_file}and {kept >> 20} MiB must be left by a layer",
                remedy=_FREE_SPACE,
            )

    def _own(self, entry: tar.Entry, fd: int, path: bytes) -> None:
        """Set owner and attributes of an open file or directory."""
        if entry.uid or entry.gid:
            if self._single_id:
                try:
                    os.setxattr(fd, ROOTLESS_XATTR, encode_owner(entry.uid, entry.gid))
                except OSError:
                    self._skip(f"owner {entry.uid}:{entry.gid} of {show(path)}")
            else:
                try:
                    os.fchown(fd, entry.uid, entry.gid)
                except OSError as cause:
                    raise self._owner_refused(cause, entry, path) from cause
        if entry.xattrs:
            for name in set_xattrs(fd, entry.xattrs):
                self._skip(f"xattr {name.decode(errors='backslashreplace')} of {show(path)}")

    @staticmethod
    def _owner_refused(cause: OSError, entry: tar.Entry, path: bytes) -> Exception:
        if cause.errno not in (errno.EINVAL, errno.EPERM, errno.EOVERFLOW):
            return cause
        from rootless_pod.userns.subid import widening_remedy

        return HostUnready(
            f"{show(path)} belongs to {entry.uid}:{entry.gid}, which your subordinate ids don't reach",
            remedy=widening_remedy(entry.uid, entry.gid),
        )

    def _own_link(self, entry: tar.Entry, dir_fd: int, path: bytes, base: bytes) -> None:
        """Set the owner of what can't be opened (symbolic link, fifo); single-id mode has no place to keep it."""
        if (entry.uid or entry.gid) and not self._single_id:
            try:
                os.chown(base, entry.uid, entry.gid, dir_fd=dir_fd, follow_symlinks=False)
            except OSError as cause:
                raise self._owner_refused(cause, entry, path) from cause

    def _directory(self, entry: tar.Entry, dir_fd: int, path: bytes, base: bytes) -> None:
        again = False
        try:
            os.mkdir(base, 0o755, dir_fd=dir_fd)
        except FileExistsError:
            again = True
            if not stat.S_ISDIR(os.lstat(base, dir_fd=dir_fd).st_mode):
                hidden = self._clear(dir_fd, path, base)
                os.mkdir(base, 0o755, dir_fd=dir_fd)
                if hidden:
                    # The layers below lost this name first: what they have inside must stay hidden.
                    self._make_opaque(dir_fd, base)
        if entry.uid or entry.gid or entry.xattrs or again:
            fd = os.open(base, OPEN_DIRECTORY, dir_fd=dir_fd)
            try:
                if again:
                    self._forget_attributes(path, fd)
                self._directory_attributes(entry, path, fd)
            finally:
                os.close(fd)
        else:
            self._directories[path] = (entry.mode, entry.mtime_ns)

    def _forget_attributes(self, path: bytes, fd: int) -> None:
        """Undo what an earlier entry, or the layer below, gave the directory: its last own entry counts."""
        self._default_acls.pop(path, None)
        forget_xattrs(fd)
        if not self._single_id:
            os.fchown(fd, 0, 0)

    def _directory_attributes(self, entry: tar.Entry, path: bytes, fd: int) -> None:
        if entry.xattrs and DEFAULT_ACL in entry.xattrs:
            self._default_acls[path] = entry.xattrs.pop(DEFAULT_ACL)
        self._own(entry, fd, path)
        self._directories[path] = (entry.mode, entry.mtime_ns)

    def _symlink(self, entry: tar.Entry, dir_fd: int, path: bytes, base: bytes) -> None:
        if not entry.link:
            raise Corrupt(f"symbolic link {show(path)} points to nothing")
        try:
            os.symlink(entry.link, base, dir_fd=dir_fd)
        except FileExistsError:
            self._clear(dir_fd, path, base)
            dir_fd = self._again(path)
            os.symlink(entry.link, base, dir_fd=dir_fd)
        self._own_link(entry, dir_fd, path, base)
        os.utime(base, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=dir_fd, follow_symlinks=False)

    def _fifo(self, entry: tar.Entry, dir_fd: int, path: bytes, base: bytes) -> None:
        try:
            os.mkfifo(base, entry.mode & 0o777, dir_fd=dir_fd)
        except FileExistsError:
            self._clear(dir_fd, path, base)
            dir_fd = self._again(path)
            os.mkfifo(base, entry.mode & 0o777, dir_fd=dir_fd)
        self._own_link(entry, dir_fd, path, base)
        if entry.mode & _SPECIAL_BITS:
            os.chmod(base, entry.mode, dir_fd=dir_fd)
        os.utime(base, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=dir_fd, follow_symlinks=False)

    # -- whiteouts and what is in the way

    def _whiteout(self, path: bytes, parent: bytes, base: bytes) -> None:
        dir_fd = self._tree.parent(parent)
        if base == whiteout.OPAQUE_NAME:
            whiteout.make_opaque(dir_fd)
            self.opaque_root = self.opaque_root or not parent
            return
        if base.startswith(whiteout.META_PREFIX):
            return
        hidden = base[len(whiteout.PREFIX) :]
        if hidden in (b"", b".", b".."):
            raise Corrupt(f"whiteout {show(path)} hides nothing that can be named")
        try:
            found = os.lstat(hidden, dir_fd=dir_fd)
        except FileNotFoundError:
            if whiteout.make_whiteout(dir_fd, hidden) == "plain":
                self._plain_whiteouts.add(parent + b"/" + hidden if parent else hidden)
            return
        # A whiteout speaks of the layers below, never of its own: there only a directory would let them shine through.
        if stat.S_ISDIR(found.st_mode):
            self._make_opaque(dir_fd, hidden)
