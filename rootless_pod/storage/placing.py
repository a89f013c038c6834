"""Where names of a layer go in its tree: what is in the way, what is implied, what is linked."""

from __future__ import annotations

import os
import stat

from rootless_pod.errors import Corrupt
from rootless_pod.fuse import whiteout
from rootless_pod.linux.tree import remove_tree
from rootless_pod.storage.beneath import OPEN_DIRECTORY, Beneath, clean_name
from rootless_pod.storage.lower import copy_directory_attributes, copy_up, find_lower, read_default_acl
from rootless_pod.storage.owners import DEFAULT_ACL, set_xattrs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.storage import tar


def show(name: bytes) -> str:
    """Return a name from an archive as errors print it."""
    return repr(name.decode(errors="backslashreplace"))


class Placing:
    """The tree one layer is unpacked into. Close it when done."""

    def __init__(self, diff_dir: str, *, single_id: bool, lower_dirs: tuple[str, ...]) -> None:
        """Open ``diff_dir``; ``lower_dirs`` are the layers below, top first."""
        self._tree = Beneath(diff_dir, make=self._make_implied)
        self._single_id = single_id
        self._lower_dirs = lower_dirs
        # Clean path -> (mode, mtime), set at the end: files made inside would change the time, a setgid bit
        # would give them its group, and a missing permission would keep us out.
        self._directories: dict[bytes, tuple[int, int]] = {}
        # The same for default ACLs, which files made inside would inherit.
        self._default_acls: dict[bytes, bytes] = {}
        # Clean paths of the whiteouts that are markers, ``.wh.NAME`` (fuse/whiteout.py).
        self._plain_whiteouts: set[bytes] = set()
        self.size_bytes = 0

    def close(self) -> None:
        """Close the tree's descriptors."""
        self._tree.close()

    @staticmethod
    def _make_opaque(dir_fd: int, base: bytes) -> None:
        fd = os.open(base, OPEN_DIRECTORY, dir_fd=dir_fd)
        try:
            whiteout.make_opaque(fd)
        finally:
            os.close(fd)

    def _clear(self, dir_fd: int, path: bytes, base: bytes) -> bool:
        """Remove what this layer had at ``path``; return whether it was a whiteout. Descriptors may be closed."""
        found = os.lstat(base, dir_fd=dir_fd)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(base, dir_fd=dir_fd)
            return whiteout.is_whiteout(found)
        remove_tree(base, dir_fd=dir_fd)
        below = path + b"/"
        self._directories = {
            name: value for name, value in self._directories.items() if name != path and not name.startswith(below)
        }
        self._default_acls = {name: value for name, value in self._default_acls.items() if name in self._directories}
        self._tree.forget()
        return False

    def _end_whiteout(self, path: bytes, dir_fd: int, base: bytes) -> bool:
        """Remove the whiteout that this layer has at ``path``; return whether there was one."""
        if path in self._plain_whiteouts:
            self._plain_whiteouts.discard(path)
            os.unlink(whiteout.PREFIX + base, dir_fd=dir_fd)
            return True
        try:
            if not whiteout.is_whiteout(os.lstat(base, dir_fd=dir_fd)):
                return False
        except FileNotFoundError:
            return False
        os.unlink(base, dir_fd=dir_fd)
        return True

    def _hard_link(self, entry: tar.Entry, parent: bytes, path: bytes, base: bytes) -> None:
        target = clean_name(entry.link)
        if not target:
            raise Corrupt(f"hard link {show(path)} points to the root")
        if target == path:
            return
        target_parent, _, target_base = target.rpartition(b"/")
        found = self._tree.find(target_parent)
        source = -1 if found is None else os.dup(found)
        try:
            if source < 0 or not self._is_linkable(source, target_base):
                self._bring_up(path, target)
                if source >= 0:
                    os.close(source)
                source = os.dup(self._tree.parent(target_parent))
            dir_fd = self._tree.parent(parent)
            try:
                os.link(target_base, base, src_dir_fd=source, dst_dir_fd=dir_fd, follow_symlinks=False)
            except FileExistsError:
                if os.path.samestat(os.lstat(base, dir_fd=dir_fd), os.lstat(target_base, dir_fd=source)):
                    return
                self._clear(dir_fd, path, base)
                dir_fd = self._tree.parent(parent)
                self._link_again(source, target_base, dir_fd, base, path)
        finally:
            if source >= 0:
                os.close(source)

    @staticmethod
    def _link_again(source: int, target_base: bytes, dir_fd: int, base: bytes, path: bytes) -> None:
        try:
            os.link(target_base, base, src_dir_fd=source, dst_dir_fd=dir_fd, follow_symlinks=False)
        except FileNotFoundError as cause:
            raise Corrupt(f"hard link {show(path)} replaces its own target") from cause

    @staticmethod
    def _is_linkable(dir_fd: int, base: bytes) -> bool:
        try:
            found = os.lstat(base, dir_fd=dir_fd)
        except OSError:
            return False
        if stat.S_ISDIR(found.st_mode) or whiteout.is_whiteout(found):
            raise Corrupt(f"hard link to {show(base)}, which is not a file")
        return True

    def _bring_up(self, path: bytes, target: bytes) -> None:
        """Copy a hard link's target from the layers below into this one."""
        lower = find_lower(self._lower_dirs, target)
        if lower is None:
            raise Corrupt(f"hard link {show(path)} points to {show(target)}, which is in no layer")
        try:
            parent, _, base = target.rpartition(b"/")
            copy_up(lower, self._tree.parent(parent), base, single_id=self._single_id)
            self.size_bytes += os.fstat(lower).st_size
        finally:
            os.close(lower)

    def _make_implied(self, path: bytes, parent_fd: int, name: bytes) -> None:
        """Make a directory that has no entry of its own (yet): as the layer below has it, else 0755 of root.

        After a whiteout of that name it is a new one, which shows nothing of the layers below.
        """
        if self._end_whiteout(path, parent_fd, name):
            os.mkdir(name, 0o755, dir_fd=parent_fd)
            self._make_opaque(parent_fd, name)
            return
        os.mkdir(name, 0o755, dir_fd=parent_fd)
        lower = find_lower(self._lower_dirs, path) if self._lower_dirs else None
        if lower is None:
            return
        try:
            fd = os.open(name, OPEN_DIRECTORY, dir_fd=parent_fd)
            try:
                if copy_directory_attributes(lower, fd, single_id=self._single_id):
                    found = os.fstat(lower)
                    acl = read_default_acl(lower)
                    if acl:
                        self._default_acls[path] = acl
                    self._directories[path] = (stat.S_IMODE(found.st_mode), found.st_mtime_ns)
            finally:
                os.close(fd)
        finally:
            os.close(lower)

    def _finish_directories(self) -> None:
        """Set modes and times, the deepest first."""
        for path in sorted(self._directories, key=len, reverse=True):
            mode, mtime_ns = self._directories[path]
            parent, _, base = path.rpartition(b"/")
            dir_fd = self._tree.find(parent)
            if dir_fd is None:
                continue
            fd = os.open(base or b".", OPEN_DIRECTORY, dir_fd=dir_fd)
            try:
                if mode != 0o755 or not path:
                    os.fchmod(fd, mode)
                if path in self._default_acls:
                    set_xattrs(fd, {DEFAULT_ACL: self._default_acls[path]})
                os.utime(fd, ns=(mtime_ns, mtime_ns))
            finally:
                os.close(fd)
