"""Owners and extended attributes as layers carry them, and as a user without root can keep them.

Source: rootlesscontainers/proto (message Resource {uint32 uid = 1; uint32 gid = 2;}), as umoci writes it;
Linux uapi/linux/capability.h for the attribute of file capabilities.
"""

from __future__ import annotations

import errno
import os

from rootless_pod.errors import Corrupt

ROOTLESS_XATTR = "user.rootlesscontainers"
DEFAULT_ACL = b"system.posix_acl_default"
_CAPABILITY = b"security.capability"
# What a layer may not set: they are the words of a storage driver, not of an image.
_PRIVATE = (b"user.overlay.", b"trusted.", b"user.fuseoverlayfs.", b"user.containers.", ROOTLESS_XATTR.encode())
# Labels belong to the host's policy, not to an image.
_HOST_LABELS = (b"security.selinux", b"security.ima", b"security.evm", b"security.apparmor")
_REFUSED = frozenset({errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.EINVAL, errno.ERANGE, errno.E2BIG, errno.ENOSPC})
_NOOP_ID = 0xFFFFFFFF


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode_owner(uid: int, gid: int) -> bytes:
    """Return the value of ``user.rootlesscontainers`` for an owner (container ids).

    An id of zero is written as "leave it as it is", which is what umoci does: the file's own owner is root there.
    """
    return b"\x08" + _varint(uid or _NOOP_ID) + b"\x10" + _varint(gid or _NOOP_ID)


def decode_owner(value: bytes) -> tuple[int, int]:
    """Return (uid, gid) from a value of ``user.rootlesscontainers``; fields that are not known are passed over.

    Raises:
        Corrupt: it is no such message.
    """
    found = {1: 0, 2: 0}
    position = 0
    while position < len(value):
        tag, position = _read_varint(value, position)
        if tag & 7 != 0:
            raise Corrupt(f"{ROOTLESS_XATTR} holds a field of an unknown kind")
        number, position = _read_varint(value, position)
        if tag >> 3 in found:
            found[tag >> 3] = number
    uid, gid = (0 if number == _NOOP_ID else number for number in found.values())
    if uid > _NOOP_ID or gid > _NOOP_ID:
        raise Corrupt(f"{ROOTLESS_XATTR} holds an id that is too big")
    return uid, gid


def _read_varint(value: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while position < len(value) and shift < 64:
        byte = value[position]
        number |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return number, position
        shift += 7
    raise Corrupt(f"{ROOTLESS_XATTR} is cut off")


def read_owner(target: int | str | bytes) -> tuple[int, int] | None:
    """Return the owner kept in the xattr of a file (open fd or path), or None where there is none."""
    try:
        return decode_owner(os.getxattr(target, ROOTLESS_XATTR))
    except (OSError, Corrupt):
        return None


def portable_capability(value: bytes) -> bytes:
    """Return file capabilities without the user namespace they were made in (revision 3 becomes 2).

    The kernel puts the caller's own namespace in when it stores them.
    """
    if len(value) == 24 and value[3] == 3:
        return value[:3] + b"\x02" + value[4:20]
    return value


def set_xattrs(fd: int, xattrs: dict[bytes, bytes]) -> list[bytes]:
    """Set a layer's attributes on an open file and return the names that could not be set.

    Those of storage drivers and of the host's security policy are never set.

    Raises:
        OSError: the disk failed.
    """
    refused = []
    for name, value in xattrs.items():
        if name.startswith(_PRIVATE) or name in _HOST_LABELS or not name or b"\0" in name:
            refused.append(name)
            continue
        try:
            os.setxattr(fd, name, portable_capability(value) if name == _CAPABILITY else value)
        except OSError as cause:
            if cause.errno not in _REFUSED:
                raise
            refused.append(name)
    return refused


def forget_xattrs(fd: int) -> None:
    """Remove the attributes of an open file that an archive may set, and the owner kept in one."""
    for name in os.listxattr(fd):
        if name == ROOTLESS_XATTR or not os.fsencode(name).startswith(_PRIVATE):
            try:
                os.removexattr(fd, name)
            except OSError as cause:
                if cause.errno not in _REFUSED | {errno.ENODATA}:
                    raise


def layer_xattrs(target: int | str | bytes) -> dict[bytes, bytes]:
    """Return the attributes of a file (open fd or path, not followed) that belong into a layer, sorted by name."""
    follow = isinstance(target, int)
    try:
        names = os.listxattr(target, follow_symlinks=follow)
    except OSError:
        return {}
    found = {}
    for name in sorted(os.fsencode(name) for name in names):
        if name.startswith(_PRIVATE) or name in _HOST_LABELS:
            continue
        try:
            value = os.getxattr(target, name, follow_symlinks=follow)
        except OSError:
            continue
        found[name] = portable_capability(value) if name == _CAPABILITY else value
    return found


def copy_all_xattrs(source_fd: int, target_fd: int) -> None:
    """Copy every attribute that may be set, the owner kept in one included; what is refused is left out."""
    for name in os.listxattr(source_fd):
        try:
            os.setxattr(target_fd, name, os.getxattr(source_fd, name))
        except OSError as cause:
            if cause.errno not in _REFUSED | {errno.ENODATA}:
                raise
