"""Layers of an overlay as they lie on disk: root descriptors, whiteouts, opaque directories, hidden attributes.

Layer 0 is the upper one (absent on a read-only mount), 1 … n are the lower ones, top first.

Source: Documentation/filesystems/overlayfs.rst; the spelling of the attributes inside user namespaces
(``userxattr``) is that of fs/overlayfs/overlayfs.h; the ``.wh.`` spelling is the OCI image-spec's (layer.md),
written where the host refuses ``mknod c 0 0``.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless_pod.fuse import whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

UPPER = 0
DOT_WHITEOUT = whiteout.PREFIX
_OPAQUE_READ = (whiteout.OPAQUE_XATTR, "user.fuseoverlayfs.opaque", "trusted.overlay.opaque")
WORK_PREFIX = b"#rpod-"

_OWN_PREFIX = b"user.overlay."
_ESCAPED_PREFIX = b"user.overlay.overlay."
_HIDDEN_PREFIXES = (b"user.fuseoverlayfs.", b"trusted.overlay.")
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def through(dir_fd: int, name: bytes) -> bytes:
    """Return a path to ``name`` in the directory ``dir_fd``, for calls that take no directory descriptor."""
    return b"/proc/self/fd/%d/%b" % (dir_fd, name)


def stored_xattr(name: bytes) -> bytes | None:
    """Return how an attribute that a program names is stored, or None if it may have no such attribute.

    Our own attributes are hidden; a program's attribute of the same family (an overlay inside the
    container) is stored one level deeper, as Linux 6.7 does.
    """
    if name.startswith(_OWN_PREFIX):
        return _ESCAPED_PREFIX + name[len(_OWN_PREFIX) :]
    if name.startswith(_HIDDEN_PREFIXES):
        return None
    return name


def shown_xattr(name: bytes) -> bytes | None:
    """Return how a stored attribute is shown to programs, or None if it is ours."""
    if name.startswith(_ESCAPED_PREFIX):
        return _OWN_PREFIX + name[len(_ESCAPED_PREFIX) :]
    if name.startswith(_OWN_PREFIX) or name.startswith(_HIDDEN_PREFIXES):
        return None
    return name


class Layers:
    """The root directories of all layers, and the work directory; the descriptors live as long as the process."""

    def __init__(self, upper: str | None, work: str | None, lower_dirs: Sequence[str]) -> None:
        """Open everything.

        Raises:
            OSError: a directory is missing or can't be searched.
        """
        self.roots: list[int] = [-1 if upper is None else os.open(upper, _DIRECTORY)]
        self.roots += [os.open(path, _DIRECTORY) for path in lower_dirs]
        self.work = -1 if work is None else os.open(work, _DIRECTORY)
        self.writable = upper is not None and work is not None
        self.all = tuple(range(0 if upper is not None else 1, len(self.roots)))
        self._serial = 0
        self.can_mknod = True
        if self.writable:
            self.sweep_work()
            self.can_mknod = self._try_mknod()

    def work_name(self) -> bytes:
        """Return a fresh name in the work directory."""
        self._serial += 1
        return b"%b%d-%d" % (WORK_PREFIX, os.getpid(), self._serial)

    def sweep_work(self) -> None:
        """Remove what a killed predecessor left in the work directory."""
        for name in list_names(self.work):
            if name.startswith(WORK_PREFIX):
                remove_tree(self.work, name)

    def _try_mknod(self) -> bool:
        name = self.work_name()
        try:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=self.work)
        except PermissionError:
            return False
        os.unlink(name, dir_fd=self.work)
        return True

    def is_opaque(self, dir_fd: int, name: bytes) -> bool:
        """Tell whether the directory ``name`` hides the directories of the same name in the layers below."""
        path = through(dir_fd, name)
        for attribute in _OPAQUE_READ:
            try:
                if os.getxattr(path, attribute, follow_symlinks=False) == b"y":
                    return True
            except OSError as error:
                if error.errno not in {errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES}:
                    raise
        return has_name(dir_fd, name + b"/" + whiteout.OPAQUE_NAME)

    def set_opaque(self, dir_fd: int, name: bytes) -> None:
        """Make the directory ``name`` hide the layers below."""
        try:
            os.setxattr(through(dir_fd, name), whiteout.OPAQUE_XATTR, b"y", follow_symlinks=False)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EPERM}:
                raise
            marker = os.open(
                name + b"/" + whiteout.OPAQUE_NAME, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=dir_fd
            )
            os.close(marker)

    def hides(self, dir_fd: int, name: bytes) -> bool:
        """Tell whether a ``.wh.`` file of this layer hides ``name`` in the layers below."""
        return has_name(dir_fd, DOT_WHITEOUT + name)

    def make_whiteout(self, dir_fd: int, name: bytes) -> None:
        """Hide ``name`` of the layers below; nothing of that name may be in ``dir_fd``."""
        if self.can_mknod:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=dir_fd)
        else:
            os.close(os.open(DOT_WHITEOUT + name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=dir_fd))

    def clear_dot_whiteout(self, dir_fd: int, name: bytes) -> bool:
        """Remove the ``.wh.`` file that hides ``name``; return whether there was one."""
        try:
            os.unlink(DOT_WHITEOUT + name, dir_fd=dir_fd)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENAMETOOLONG}:
                return False
            raise
        return True


def has_name(dir_fd: int, name: bytes) -> bool:
    """Tell whether ``name`` exists in the directory."""
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENAMETOOLONG}:
            return False
        raise
    return True


def list_names(dir_fd: int) -> list[bytes]:
    """Return all names in the directory behind ``dir_fd`` (which may be an ``O_PATH`` descriptor)."""
    return [name for name, _special in list_entries(dir_fd)]


def list_entries(dir_fd: int) -> list[tuple[bytes, bool]]:
    """Return each name and whether it is a special file (device, fifo, socket: worth a look for whiteouts)."""
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        with os.scandir(fd) as entries:
            return [
                (
                    os.fsencode(entry.name),
                    not (
                        entry.is_file(follow_symlinks=False)
                        or entry.is_dir(follow_symlinks=False)
                        or entry.is_symlink()
                    ),
                )
                for entry in entries
            ]
    finally:
        os.close(fd)


def remove_tree(dir_fd: int, name: bytes) -> None:
    """Remove ``name`` and all below it, without following any link."""
    try:
        os.unlink(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        pass
    else:
        return
    fd = os.open(name, _DIRECTORY, dir_fd=dir_fd)
    try:
        for inner in list_names(fd):
            remove_tree(fd, inner)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=dir_fd)
