"""What a file tree looks like, entry by entry, for comparing what different tools unpack.

Imported by tests; run as a program (``python3 trees.py ROOT``) inside the user namespace the tree belongs to, where owners
and capabilities read as the image means them.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
}
UNSEEN = (
    "user.overlay.",
    "trusted.overlay.",
    "user.fuseoverlayfs.",
    "user.containers.",
    "user.rootlesscontainers",
    "user.rpod.",
)
"""Attributes that storage drivers keep for themselves."""


def describe(path: str, links: dict[tuple[int, int], str], name: str) -> dict[str, object]:
    """Return type, mode, owners, modification time, attributes, link target, content and first name of an entry."""
    found = os.lstat(path)
    kind = KINDS[stat.S_IFMT(found.st_mode)]
    said: dict[str, object] = {"kind": kind, "owner": [found.st_uid, found.st_gid], "mtime_ns": found.st_mtime_ns}
    if kind == "symlink":
        return {**said, "target": os.fsencode(os.readlink(path)).hex()}
    said["mode"] = oct(stat.S_IMODE(found.st_mode))
    said["xattrs"] = {
        key: os.getxattr(path, key, follow_symlinks=False).hex()
        for key in sorted(os.listxattr(path, follow_symlinks=False))
        if not key.startswith(UNSEEN)
    }
    if kind == "file":
        with open(path, "rb") as file:
            said["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
        said["size"] = found.st_size
        said["same_as"] = links.setdefault((found.st_dev, found.st_ino), name) if found.st_nlink > 1 else name
    return said


def read_tree(root: str) -> dict[str, dict[str, object]]:
    """Return every entry below ``root`` by its path in it; the root itself is ``.``."""
    entries = {}
    links: dict[tuple[int, int], str] = {}
    for directory, names, files in os.walk(os.fsencode(root)):
        names.sort()
        place = os.path.relpath(directory, os.fsencode(root))
        for one in sorted([*names, *files]):
            name = os.fsdecode(os.path.normpath(os.path.join(place, one)))
            entries[name] = describe(os.fsdecode(os.path.join(directory, one)), links, name)
    entries["."] = describe(root, links, ".")
    return entries


if __name__ == "__main__":
    json.dump(read_tree(sys.argv[1]), sys.stdout)
