"""How "this name is gone" is written in an unpacked layer or an upper directory.

Form ``native`` is overlayfs' own: a character device 0/0, and ``user.overlay.opaque=y`` on a directory
(an unprivileged user may make both: mknod 0/0 since Linux 5.8, the xattr with the mount option ``userxattr``
since 5.11). Form ``plain`` is that of the image layers, ``.wh.NAME`` and ``.wh..wh..opq``, which fuse-overlayfs
and our own overlay read as well; it is what older kernels and file systems without user xattrs get.

Source: Linux Documentation/filesystems/overlayfs.rst; OCI image-spec 1.1, layer.md, "Whiteouts".
"""

from __future__ import annotations

import errno
import os
import stat

PREFIX = b".wh."
META_PREFIX = b".wh..wh."
OPAQUE_NAME = b".wh..wh..opq"
OPAQUE_XATTR = "user.overlay.opaque"
# What other drivers write for the same thing; read, never written.
_OPAQUE_XATTRS = (OPAQUE_XATTR, "user.fuseoverlayfs.opaque", "trusted.overlay.opaque")
_NO_XATTR = frozenset({errno.ENODATA, errno.ENOTSUP, errno.EPERM, errno.EACCES})
_NO_DEVICE = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP})


def make_whiteout(dir_fd: int, name: bytes) -> str:
    """Hide ``name`` of the lower layers and return the form used; nothing by that name may be in ``dir_fd``.

    Raises:
        OSError: neither form could be made.
    """
    try:
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=dir_fd)
    except OSError as refusal:
        if refusal.errno not in _NO_DEVICE:
            raise
        _make_marker(dir_fd, PREFIX + name)
        return "plain"
    return "native"


def make_opaque(dir_fd: int) -> None:
    """Hide all that the lower layers have in the directory ``dir_fd`` (not opened with ``O_PATH``); idempotent.

    Raises:
        OSError: neither form could be made.
    """
    try:
        os.setxattr(dir_fd, OPAQUE_XATTR, b"y")
    except OSError as refusal:
        if refusal.errno not in (errno.ENOTSUP, errno.EPERM):
            raise
        _make_marker(dir_fd, OPAQUE_NAME)


def _make_marker(dir_fd: int, name: bytes) -> None:
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=dir_fd))


def is_whiteout(found: os.stat_result) -> bool:
    """Tell whether an lstat result is that of a native whiteout."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def hidden_name(name: bytes) -> bytes | None:
    """Return the name that a plain whiteout ``name`` hides; None if it is no such (or the opaque) marker."""
    if not name.startswith(PREFIX) or name.startswith(META_PREFIX):
        return None
    return name[len(PREFIX) :]


def is_opaque(target: int | str | bytes) -> bool:
    """Tell whether a directory (open fd or path) carries an opaque xattr; see ``OPAQUE_NAME`` for the other form."""
    for name in _OPAQUE_XATTRS:
        try:
            if os.getxattr(target, name) in (b"y", b"x"):
                return True
        except OSError as missing:
            if missing.errno not in _NO_XATTR:
                raise
    return False
