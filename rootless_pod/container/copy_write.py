"""Writing what is copied: into a directory of the host or of a container, or as a tar stream.

A regular file is written under another name and renamed when complete: whoever has the old one keeps it, and after a
failure it is still there. No symbolic link of the tree leads out of it.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless_pod import log
from rootless_pod.errors import Conflict, HostUnready, RpodError
from rootless_pod.storage import tar
from rootless_pod.storage.owners import ROOTLESS_XATTR, encode_owner, set_xattrs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.container.copy_read import Member
    from rootless_pod.container.copy_tree import Ids

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT_OPEN = 64
# What a user may be refused without the copy being wrong: an owner that has no meaning here.
_TOLERATED = frozenset({errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP, errno.EOVERFLOW})
_OVERWRITE = "copy with --overwrite to replace it, or choose another destination"


def shown(path: bytes) -> str:
    """Return a name as errors print it."""
    return path.decode(errors="backslashreplace")


class DirectoryTarget:
    """Puts members below one open directory.

    ``owner`` is whom all belongs to, in ids of the user's namespace; None keeps each member's own, mapped by ``ids``.
    ``reopen(path)`` opens a directory below it where links of the tree are followed inside the tree's own root; without
    it a link in the way of a directory is a ``Conflict``.
    """

    def __init__(
        self,
        base: int,
        *,
        owner: tuple[int, int] | None,
        ids: Ids,
        single_id: bool,
        overwrite: bool,
        reopen: Callable[[bytes], int] | None = None,
    ) -> None:
        """Write below ``base``, which the caller closes."""
        self._base = base
        self._owner, self._ids, self._single_id = owner, ids, single_id
        self._overwrite = overwrite
        self._reopen = reopen
        self._open: dict[bytes, int] = {b"": base}
        # Clean path -> (mode, mtime), set at the end: files made inside would change the time, a missing permission
        # would keep us out.
        self._directories: dict[bytes, tuple[int, int]] = {}
        self._devices: list[bytes] = []

    def put(self, member: Member) -> None:
        """Make one member, in place of a file of that name.

        Raises:
            Conflict: a directory is to replace something else, or the other way round, without ``overwrite``.
            OSError: it can't be made.
        """
        if not member.entry.name:
            return  # the destination itself stays as it is
        try:
            self._put(member)
        except OSError as cause:
            raise OSError(cause.errno, cause.strerror, member.entry.name) from cause

    def _put(self, member: Member) -> None:
        entry = member.entry
        parent, _slash, base = entry.name.rpartition(b"/")
        directory = self._directory_at(parent)
        if entry.kind == tar.DIRECTORY:
            self._put_directory(member, directory, base)
            return
        self._require_no_directory(directory, base, entry.name)
        if entry.kind == tar.REGULAR:
            self._put_file(member, directory, base)
        elif entry.kind == tar.HARD_LINK:
            self._put_link(entry, directory, base)
        else:
            self._put_special(member, directory, base)

    def finish(self) -> None:
        """Set modes and times of directories, the deepest first, and close all but the base."""
        for path in sorted(self._directories, key=len, reverse=True):
            mode, mtime_ns = self._directories[path]
            directory = self._directory_at(path)
            os.fchmod(directory, mode)
            os.utime(directory, ns=(mtime_ns, mtime_ns))
        self.close()
        if self._devices:
            more = f" and {len(self._devices) - 1} more" if len(self._devices) > 1 else ""
            log.warn(f"devices can't be copied by a user: left out {shown(self._devices[0])}{more}")

    def close(self) -> None:
        """Close all descriptors but the base; idempotent."""
        for path, fd in self._open.items():
            if path:
                os.close(fd)
        self._open = {b"": self._base}

    # -- directories

    def _directory_at(self, path: bytes) -> int:
        """Return a descriptor of the directory ``path``, making what is missing; good until the next call."""
        if path in self._open:
            return self._open[path]
        if len(self._open) > _KEPT_OPEN:
            self._close_but(path)
        above, here = self._base, b""
        for base in path.split(b"/"):
            here = here + b"/" + base if here else base
            if here not in self._open:
                self._open[here] = self._enter_or_make(above, here, base)
            above = self._open[here]
        return above

    def _close_but(self, path: bytes) -> None:
        """Close every directory that is not on the way to ``path``."""
        whole = path + b"/"
        for other in [one for one in self._open if one and not whole.startswith(one + b"/")]:
            os.close(self._open.pop(other))

    def _enter_or_make(self, above: int, path: bytes, base: bytes) -> int:
        try:
            return self._enter(above, path, base)
        except FileNotFoundError:
            os.mkdir(base, 0o755, dir_fd=above)
            fd = self._enter(above, path, base)
            self._own(fd, 0, 0)
            return fd

    def _enter(self, above: int, path: bytes, base: bytes) -> int:
        try:
            return os.open(base, _DIRECTORY, dir_fd=above)
        except OSError as cause:
            if cause.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            if self._reopen is not None:
                try:
                    return self._reopen(path)
                except NotADirectoryError:
                    pass
            raise Conflict(f"cannot copy into {shown(path)}: it is not a directory", remedy=_OVERWRITE) from cause

    def _put_directory(self, member: Member, above: int, base: bytes) -> None:
        entry = member.entry
        try:
            os.mkdir(base, 0o700, dir_fd=above)
        except FileExistsError:
            if not self._is_directory(above, base, entry.name):
                if not self._overwrite:
                    raise Conflict(
                        f"cannot replace {shown(entry.name)}, which is not a directory, by a directory",
                        remedy=_OVERWRITE,
                    ) from None
                os.unlink(base, dir_fd=above)
                os.mkdir(base, 0o700, dir_fd=above)
        fd = self._directory_at(entry.name)
        self._own(fd, entry.uid, entry.gid)
        if entry.xattrs:
            set_xattrs(fd, entry.xattrs)
        self._directories[entry.name] = (entry.mode, entry.mtime_ns)

    def _is_directory(self, above: int, base: bytes, path: bytes) -> bool:
        """Tell whether a directory is there already, or a link to one that may be followed."""
        found = os.stat(base, dir_fd=above, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode) and self._reopen is not None:
            try:
                os.close(self._reopen(path))
            except OSError:
                return False
            return True
        return stat.S_ISDIR(found.st_mode)

    def _require_no_directory(self, above: int, base: bytes, path: bytes) -> None:
        try:
            found = os.stat(base, dir_fd=above, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(found.st_mode):
            return
        if not self._overwrite:
            raise Conflict(f"cannot replace the directory {shown(path)} by a file", remedy=_OVERWRITE)
        from rootless_pod.linux.tree import remove_tree

        below = path + b"/"
        for name in [one for one in self._open if one == path or one.startswith(below)]:
            os.close(self._open.pop(name))
        for name in [one for one in self._directories if one == path or one.startswith(below)]:
            del self._directories[name]
        remove_tree(base, dir_fd=above)

    # -- what lies in directories

    def _put_file(self, member: Member, above: int, base: bytes) -> None:
        entry, content = member.entry, member.content
        assert content is not None
        temporary = b".rpod-cp-" + os.urandom(8).hex().encode()
        fd = os.open(temporary, _NEW_FILE, 0o600, dir_fd=above)
        try:
            try:
                content.write_to(fd)
                self._attributes(fd, entry)
            finally:
                os.close(fd)
            os.rename(temporary, base, src_dir_fd=above, dst_dir_fd=above)
        except OSError as cause:
            if cause.errno != errno.EBUSY:
                os.unlink(temporary, dir_fd=above)
                raise
            self._write_in_place(above, temporary, base, entry)
        except BaseException:
            os.unlink(temporary, dir_fd=above)
            raise

    def _write_in_place(self, above: int, temporary: bytes, base: bytes, entry: tar.Entry) -> None:
        """Overwrite a file that is a mount point (such as /etc/hosts of a container): it can't be replaced."""
        from rootless_pod.fuse.copy import copy_data

        try:
            source = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        finally:
            os.unlink(temporary, dir_fd=above)
        try:
            fd = os.open(base, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
            try:
                copy_data(source, fd)
                self._attributes(fd, entry)
            finally:
                os.close(fd)
        finally:
            os.close(source)

    def _attributes(self, fd: int, entry: tar.Entry) -> None:
        """Set owner, mode, attributes and time, in the order that keeps setuid bits and times."""
        self._own(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode)
        if entry.xattrs:
            set_xattrs(fd, entry.xattrs)
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))

    def _put_link(self, entry: tar.Entry, above: int, base: bytes) -> None:
        parent, _slash, name = entry.link.rpartition(b"/")
        held = os.dup(above)
        try:
            source = self._directory_at(parent)
            if entry.link == entry.name:
                return
            self._replace(
                held, base, lambda: os.link(name, base, src_dir_fd=source, dst_dir_fd=held, follow_symlinks=False)
            )
        finally:
            os.close(held)

    def _put_special(self, member: Member, above: int, base: bytes) -> None:
        entry = member.entry
        if entry.kind == tar.SYMLINK:
            self._replace(above, base, lambda: os.symlink(entry.link, base, dir_fd=above))
        elif entry.kind == tar.FIFO:
            self._replace(above, base, lambda: os.mkfifo(base, entry.mode, dir_fd=above))
        else:
            self._devices.append(entry.name)
            return
        uid, gid = self._wanted_owner(entry.uid, entry.gid)
        _tolerant(lambda: os.chown(base, uid, gid, dir_fd=above, follow_symlinks=False))
        os.utime(base, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=above, follow_symlinks=False)

    @staticmethod
    def _replace(above: int, base: bytes, make: Callable[[], None]) -> None:
        try:
            make()
        except FileExistsError:
            os.unlink(base, dir_fd=above)
            make()

    # -- owners

    def _wanted_owner(self, uid: int, gid: int) -> tuple[int, int]:
        return self._owner if self._owner is not None else self._ids.to_ours(uid, gid)

    def _own(self, fd: int, uid: int, gid: int) -> None:
        if self._owner is None and self._single_id and (uid or gid):
            _tolerant(lambda: os.setxattr(fd, ROOTLESS_XATTR, encode_owner(uid, gid)))
            return
        wanted = self._wanted_owner(uid, gid)
        found = os.fstat(fd)
        if (found.st_uid, found.st_gid) != wanted:
            _tolerant(lambda: os.fchown(fd, *wanted))


def _tolerant(action: Callable[[], None]) -> None:
    try:
        action()
    except OSError as cause:
        if cause.errno not in _TOLERATED:
            raise
        log.debug(f"owner not kept: {cause}")


class TarTarget:
    """Writes members to a descriptor as a tar archive."""

    def __init__(self, fd: int) -> None:
        """Write to ``fd``, which the caller closes."""
        from rootless_pod.storage.tarwriter import TarWriter

        self._fd = fd
        self._writer = TarWriter(self._write)

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def put(self, member: Member) -> None:
        """Write one member (raises OSError)."""
        entry = member.entry
        self._writer.add(entry, device=member.device)
        if member.content is not None:
            for chunk in member.content.chunks():
                self._write(chunk)
            self._writer.pad(entry.size)

    def finish(self) -> None:
        """Write the archive's end."""
        self._writer.finish()

    def close(self) -> None:
        """Do nothing: the descriptor is the caller's."""


def meaning(cause: OSError, doing: str) -> RpodError:
    """Turn a failed system call into words and what to do."""
    name = cause.filename
    where = f" {shown(os.fsencode(name))}" if isinstance(name, (str, bytes)) and name else ""
    if cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return HostUnready(f"disk full while {doing}{where}", remedy="free some space, for example: rpod rmi IMAGE")
    if cause.errno == errno.EROFS:
        return Conflict(
            f"{doing}{where}: the destination is read-only",
            remedy="copy to a place that is writable: a volume, or a container without --read-only",
        )
    why = os.strerror(cause.errno or 0)
    return HostUnready(f"{doing}{where} failed: {why}", remedy="check owner and mode of both places with ls -l")
