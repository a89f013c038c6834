"""The tree every file-system test runs on: three layers with all that matters, and a driver that mounts them."""

from __future__ import annotations

import hashlib
import os
import stat

from rootless_pod.fuse.choose import driver_named
from rootless_pod.fuse.driver import RootfsRequest
from rootless_pod.linux.tree import remove_tree

TEXT = b"a line from the bottom layer\n"
BIG = hashlib.sha256(b"big").digest() * 40_000
WEIRD = tuple(bytes(number for number in half if number != 0x2F) for half in (range(1, 128), range(128, 256)))


def put(path, data=b"", mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def get(path):
    with open(path, "rb") as file:
        return file.read()


def whiteout(path):
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def snapshot(top):
    """Everything about a tree that a container must not change (access times aside)."""
    seen = {}
    for directory, names, files in os.walk(os.fsencode(top)):
        for name in [b".", *names, *files]:
            path = os.path.join(directory, name)
            found = os.lstat(path)
            content = b""
            if stat.S_ISREG(found.st_mode):
                content = hashlib.sha256(get(path)).digest()
            elif stat.S_ISLNK(found.st_mode):
                content = os.readlink(path)
            attributes = tuple(
                (key, os.getxattr(path, key, follow_symlinks=False))
                for key in sorted(os.listxattr(path, follow_symlinks=False))
            )
            seen[path] = (
                found.st_mode, found.st_uid, found.st_gid, found.st_ino, found.st_nlink, found.st_size,
                found.st_mtime_ns, found.st_rdev, attributes, content,
            )  # fmt: skip
    return seen


class World:
    """One driver with a fresh upper directory over the three layers below ``base``."""

    def __init__(self, driver_name, base, *, many_ids):
        self.driver_name = driver_name
        self.driver = driver_named(driver_name)
        self.base = base
        self.many_ids = many_ids
        self.layers = tuple(f"{base}/layer-{name}" for name in ("top", "middle", "bottom"))
        self.count = 0
        self.request = None
        self.mounted = None
        if not os.path.isdir(self.layers[0]):
            self._build()
        self.before = [snapshot(layer) for layer in self.layers]

    def _build(self):
        top, middle, bottom = self.layers
        for layer in self.layers:
            os.mkdir(layer, 0o755)
        put(f"{bottom}/file", TEXT)
        put(f"{bottom}/other", b"other\n")
        put(f"{bottom}/big", BIG)
        put(f"{bottom}/script", b"#!/bin/sh\nexit 7\n", 0o755)
        put(f"{bottom}/setuid", b"x", 0o4755)
        put(f"{bottom}/secret", b"secret", 0o600)
        put(f"{bottom}/gone", b"hidden by the middle layer")
        put(f"{bottom}/hard1", b"hard")
        os.link(f"{bottom}/hard1", f"{bottom}/hard2")
        os.symlink("file", f"{bottom}/link")
        os.symlink("nowhere/at all", f"{bottom}/dangling")
        os.mkdir(f"{bottom}/empty")
        os.makedirs(f"{bottom}/dir/sub/deeper")
        for name in ("a", "b", "c", "sub/one", "sub/deeper/two"):
            put(f"{bottom}/dir/{name}", f"bottom {name}".encode())
        os.mkdir(f"{bottom}/opaque")
        put(f"{bottom}/opaque/old", b"old")
        os.mkdir(f"{bottom}/many")
        for number in range(300):
            put(f"{bottom}/many/{number:03}", str(number).encode())
        for name in WEIRD:
            put(os.path.join(os.fsencode(bottom), name), b"weird")
        put(f"{bottom}/attributes", b"attributes")
        os.setxattr(f"{bottom}/attributes", "user.test", b"value")
        os.utime(f"{bottom}/file", ns=(1_000_000_000_123_456_789, 1_100_000_000_987_654_321))
        if self.many_ids:
            put(f"{bottom}/owned", b"owned")
            os.chown(f"{bottom}/owned", 5, 6)
        whiteout(f"{middle}/gone")
        os.mkdir(f"{middle}/opaque")
        os.setxattr(f"{middle}/opaque", "user.overlay.opaque", b"y")
        put(f"{middle}/opaque/new", b"new")
        os.mkdir(f"{middle}/dir")
        put(f"{middle}/dir/b", b"middle b")
        whiteout(f"{middle}/dir/c")
        os.mkdir(f"{top}/dir")
        put(f"{top}/dir/c", b"top c")
        put(f"{top}/dir/d", b"top d")

    @property
    def path(self):
        return self.mounted.path

    def at(self, name):
        return f"{self.path}/{name}"

    def mount(self, **changes):
        """Mount over a fresh container directory."""
        self.count += 1
        container = f"{self.base}/container-{self.count}"
        values = {
            "container_dir": container, "merged": f"{container}/merged", "upper": f"{container}/upper",
            "work": f"{container}/work", "lower_dirs": self.layers, **changes,
        }  # fmt: skip
        request = RootfsRequest(**values)
        for directory in (request.merged, request.upper, request.work):
            os.makedirs(directory)
        self.request = request
        self.mounted = self.driver.mount(request)
        return self.mounted.path

    def unmount(self):
        self.driver.unmount(self.request, self.mounted)

    def remount(self, **changes):
        """Unmount, and mount the same container again."""
        self.unmount()
        self.request = self.request.replace(**changes)
        self.mounted = self.driver.mount(self.request)

    def fresh(self, **changes):
        """Throw the present tree away and mount another."""
        self.close()
        return self.mount(**changes)

    def close(self):
        """Unmount, remove, and see that no layer changed."""
        if self.mounted is not None:
            self.unmount()
            remove_tree(self.request.container_dir)
            assert not os.path.lexists(self.request.container_dir)
        self.mounted = None
        for layer, before in zip(self.layers, self.before, strict=True):
            assert snapshot(layer) == before, f"{layer} was changed"
