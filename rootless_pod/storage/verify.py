"""Compare an unpacked layer with a fresh unpacking of its blob: nothing recorded has to be trusted."""

from __future__ import annotations

import os
import stat

from rootless_pod.fuse.whiteout import OPAQUE_NAME, is_opaque
from rootless_pod.storage.changes import same_content
from rootless_pod.storage.owners import layer_xattrs, read_owner

_MOST = 20


def differences(fresh: str, stored: str) -> list[str]:
    """Return what differs between two unpackings of one layer, at most 20 lines (raises OSError).

    Times of directories are left out: those without an entry of their own have none.
    """
    found: list[str] = []
    links: dict[tuple[int, int], tuple[int, int]] = {}
    waiting = [b""]
    while waiting and len(found) < _MOST:
        prefix = waiting.pop()
        _directory(os.fsencode(fresh), os.fsencode(stored), prefix, found, waiting, links)
    return found[:_MOST]


def _directory(
    fresh: bytes,
    stored: bytes,
    prefix: bytes,
    found: list[str],
    waiting: list[bytes],
    links: dict[tuple[int, int], tuple[int, int]],
) -> None:
    wanted, there = set(os.listdir(fresh + b"/" + prefix)), set(os.listdir(stored + b"/" + prefix))
    found.extend(f"{_show(prefix + name)} is missing" for name in sorted(wanted - there))
    strange = sorted(there - wanted - {OPAQUE_NAME})
    found.extend(f"{_show(prefix + name)} does not belong there" for name in strange)
    for name in sorted(wanted & there):
        path = prefix + name
        one, other = os.lstat(fresh + b"/" + path), os.lstat(stored + b"/" + path)
        fault = _entry(fresh + b"/" + path, stored + b"/" + path, one, other, links)
        if fault:
            found.append(f"{_show(path)} has {fault}")
        elif stat.S_ISDIR(one.st_mode):
            waiting.append(path + b"/")
        if len(found) >= _MOST:
            return


def _entry(
    fresh: bytes,
    stored: bytes,
    one: os.stat_result,
    other: os.stat_result,
    links: dict[tuple[int, int], tuple[int, int]],
) -> str:
    """Return in what an entry differs, or ""."""
    fault = _inode(one, other)
    if fault:
        return fault
    if stat.S_ISLNK(one.st_mode):
        return "" if os.readlink(fresh) == os.readlink(stored) else "another target"
    if layer_xattrs(fresh) != layer_xattrs(stored) or read_owner(fresh) != read_owner(stored):
        return "other extended attributes"
    if stat.S_ISDIR(one.st_mode):
        return "" if is_opaque(fresh) == is_opaque(stored) else "lost or got the mark that hides lower layers"
    return _file(fresh, stored, one, other, links)


def _inode(one: os.stat_result, other: os.stat_result) -> str:
    if stat.S_IFMT(one.st_mode) != stat.S_IFMT(other.st_mode):
        return "another type"
    if one.st_mode != other.st_mode:
        return f"mode {stat.S_IMODE(other.st_mode):o}, not {stat.S_IMODE(one.st_mode):o}"
    if (one.st_uid, one.st_gid) != (other.st_uid, other.st_gid):
        return f"owner {other.st_uid}:{other.st_gid}, not {one.st_uid}:{one.st_gid}"
    return "another device number" if one.st_rdev != other.st_rdev else ""


def _file(
    fresh: bytes,
    stored: bytes,
    one: os.stat_result,
    other: os.stat_result,
    links: dict[tuple[int, int], tuple[int, int]],
) -> str:
    is_whiteout = stat.S_ISCHR(one.st_mode) and one.st_rdev == 0
    if not is_whiteout and one.st_mtime_ns != other.st_mtime_ns:
        return "another modification time"
    if one.st_nlink != other.st_nlink or links.setdefault(_key(one), _key(other)) != _key(other):
        return "other hard links"
    if not stat.S_ISREG(one.st_mode):
        return ""
    if one.st_size != other.st_size:
        return f"{other.st_size} bytes, not {one.st_size}"
    return "" if same_content(fresh, stored) else "other content"


def _key(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _show(path: bytes) -> str:
    return repr(path.decode(errors="backslashreplace"))
