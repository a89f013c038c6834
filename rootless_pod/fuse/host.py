"""The embedded image ``host``: the machine's own root file system with a throw-away writable layer on top.

The kernel refuses an overlay over a directory that holds mounts the user namespace did not make (it could
uncover what lies below them). So the tree is put together from the top: a directory free of mounts becomes
one overlay, one that holds some is made anew and its entries are handled one by one, links are made again.
A driver in user space opens files by name and takes ``/`` as one layer; what must not show is covered.
"""

from __future__ import annotations

import os
import stat

from rootless_pod.errors import Refused
from rootless_pod.frozen import Frozen
from rootless_pod.fuse.driver import OVERFLOW_ID, IdShift, MountedRootfs, ShiftRange
from rootless_pod.linux import mount, procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless_pod.fuse.driver import RootfsRequest, StorageDriver

EMPTY_AT_TOP = frozenset(
    {"proc", "sys", "dev", "run", "tmp", "home", "root", "mnt", "media", "lost+found", "boot", "snap"}
)
"""Top-level directories shown empty: the spec mounts some, others are the user's or the machine's own business."""
_SCRATCH = ("/tmp", "/var/tmp")  # noqa: S108 - the container's own
"""Shown empty, for everybody to write in: what lies there is others', and a read-only container copies it to memory."""
_DISKS = frozenset(
    (
        "ext2",
        "ext3",
        "ext4",
        "xfs",
        "btrfs",
        "zfs",
        "f2fs",
        "bcachefs",
        "jfs",
        "overlay",
        "erofs",
        "squashfs",
        "virtiofs",
    )
)
"""File systems that hold a part of the system; others (proc, tmpfs, nfs, autofs …) are shown as empty directories."""
_MINE = (ShiftRange(container_id=0, parent_id=0, size=1), ShiftRange(container_id=OVERFLOW_ID, parent_id=0, size=1))
_EVERYTHING_MINE = IdShift(uids=_MINE, gids=_MINE)
_DEEPEST = 4
_UPPER_TOP = "top"


class Part(Frozen):
    """One step: make ``path`` as ``kind``: ``overlay empty cover directory symlink`` or ``file``."""

    kind: str
    path: str
    text: str = ""
    mode: int = 0o755

    def describe(self) -> str:
        """Say what is done, for ``--dry-run``."""
        return {
            "overlay": f"overlay {self.path} (read-only below, throw-away above)",
            "empty": f"empty directory {self.path}",
            "cover": f"empty directory {self.path}",
            "directory": f"directory {self.path}",
            "symlink": f"symbolic link {self.path} -> {self.text}",
            "file": f"file {self.path} (read-only)",
        }[self.kind]


class Surroundings(Frozen):
    """What the plan must mind: (mount point, file-system type) pairs, and directories to show empty."""

    mounts: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...] = ()

    def is_hidden(self, path: str) -> bool:
        """Tell whether ``path`` is shown as an empty directory."""
        if path in self.hidden:
            return True
        kind = next((kind for point, kind in reversed(self.mounts) if point == path), None)
        return kind is not None and kind not in _DISKS

    def is_inside(self, path: str) -> bool:
        """Tell whether a mount point or hidden directory lies below ``path``."""
        leading = f"{path}/"
        return any(point.startswith(leading) for point, _kind in self.mounts) or any(
            hidden.startswith(leading) for hidden in self.hidden
        )


def read_surroundings(hidden: Iterable[str]) -> Surroundings:
    """Read the mount table; ``hidden`` is extended by the user's home directory."""
    wanted = [os.path.realpath(path) for path in hidden]
    home = os.environ.get("HOME", "")
    if home.startswith("/") and os.path.realpath(home) != "/":
        wanted.append(os.path.realpath(home))
    return Surroundings(
        mounts=tuple((point, kind) for point, kind, _source in procfs.mount_points() if point != "/"),
        hidden=tuple(dict.fromkeys(wanted)),
    )


def plan_host(surroundings: Surroundings, root: str = "/") -> tuple[Part, ...]:
    """Return the steps that put the tree together, parents first; only directories are read."""
    parts: list[Part] = []
    top = root.rstrip("/")
    for entry in _listing(root):
        path = f"/{entry.name}"
        if entry.is_symlink():
            _plan_symlink(parts, top, path)
        elif not entry.is_dir(follow_symlinks=False):
            continue  # swap files and the like: nothing a program looks for
        elif entry.name in EMPTY_AT_TOP:
            parts.append(_empty(path))
        else:
            _plan_directory(parts, surroundings, top, path, 1)
    overlays = {part.path for part in parts if part.kind == "overlay"}
    parts += [
        _empty(path).replace(kind="cover")
        for path in _SCRATCH
        if os.path.dirname(path) in overlays and _is_plain_directory(f"{top}{path}")
    ]
    return tuple(parts)


def _empty(path: str) -> Part:
    return Part(kind="empty", path=path, mode=0o1777 if path in _SCRATCH else 0o755)


def _plan_directory(parts: list[Part], surroundings: Surroundings, top: str, path: str, depth: int) -> None:
    if path in _SCRATCH or surroundings.is_hidden(path) or not os.access(f"{top}{path}", os.R_OK | os.X_OK):
        parts.append(_empty(path))
    elif not surroundings.is_inside(path):
        parts.append(Part(kind="overlay", path=path))
    elif depth >= _DEEPEST:
        parts.append(_empty(path))
    else:
        parts.append(Part(kind="directory", path=path, mode=_mode(f"{top}{path}")))
        for entry in _listing(f"{top}{path}"):
            below = f"{path}/{entry.name}"
            if entry.is_symlink():
                _plan_symlink(parts, top, below)
            elif entry.is_dir(follow_symlinks=False):
                _plan_directory(parts, surroundings, top, below, depth + 1)
            elif entry.is_file(follow_symlinks=False):
                parts.append(Part(kind="file", path=below))


def _plan_symlink(parts: list[Part], top: str, path: str) -> None:
    try:
        parts.append(Part(kind="symlink", path=path, text=os.readlink(f"{top}{path}")))
    except OSError:
        pass  # others work on this machine: it is gone, or something else by now


def _listing(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as listing:
            return sorted(listing, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []  # removed since its parent was listed


def _mode(path: str) -> int:
    try:
        return stat.S_IMODE(os.lstat(path).st_mode) & 0o1777
    except FileNotFoundError:
        return 0o755


def mount_host(
    request: RootfsRequest, driver: StorageDriver, *, hidden: tuple[str, ...] = (), skeleton_dir: str | None = None
) -> MountedRootfs:
    """Mount the host's root at ``request.merged`` with ``driver``; ``hidden`` directories are shown empty.

    ``skeleton_dir`` is where the layer of writable directories is kept for the boot (see ``host_skeleton``).
    Owners are never shifted: the user's own files already belong to the user, all others to nobody.
    After a failure nothing is mounted.

    Raises:
        Refused: the driver is ``copy`` (it would copy the machine), or the kernel said no.
    """
    if driver.name == "copy":
        raise Refused(
            "the image host cannot be run with the storage driver copy: it would copy the whole machine",
            remedy="use another driver: --storage-driver fuse-overlayfs (apt-get install fuse-overlayfs)",
        )
    surroundings = read_surroundings((*hidden, request.container_dir))
    plain = request.replace(id_shift=None)
    if driver.name != "overlay":
        return _mount_whole(plain, driver, surroundings, skeleton_dir)
    try:
        return _mount_parts(plain, driver, plan_host(surroundings), skeleton_dir)
    except BaseException as error:
        unmount_host(plain, MountedRootfs(path=plain.merged))
        if isinstance(error, OSError):
            raise Refused(f"cannot put the image host together at {plain.merged}: {error}") from error
        raise


def unmount_host(request: RootfsRequest, mounted: MountedRootfs) -> None:
    """Take the tree and all that is mounted in it away, and end the helper; idempotent."""
    from rootless_pod.fuse.native import detach
    from rootless_pod.fuse.server import end

    if mounted.helper_pid is not None:
        _detach_below(mounted.path)
        end(mounted, keep_data=not request.volatile)
    detach(mounted.path)


def _detach_below(path: str) -> None:
    leading = f"{os.path.realpath(path)}/"
    for point, _kind, _source in reversed(procfs.mount_points()):
        if point.startswith(leading):
            try:
                mount.umount(point)
            except OSError:
                continue  # gone together with the one above it


def _mount_parts(
    request: RootfsRequest, driver: StorageDriver, parts: tuple[Part, ...], skeleton_dir: str | None
) -> MountedRootfs:
    from rootless_pod.fuse.native import remount_read_only

    above = _skeleton(request, parts, skeleton_dir)
    top = f"{request.upper}/{_UPPER_TOP}"
    os.makedirs(top, exist_ok=True)
    os.chmod(top, 0o755)  # noqa: S103 - the container's root directory
    mount.bind(top, request.merged, recursive=False)
    for number, part in enumerate(parts):
        target = f"{request.merged}{part.path}"
        try:
            _make(part, target)
            if part.kind == "cover":
                _cover(request, part, number)
            elif part.kind == "overlay":
                raised = f"{above}{part.path}" if above else ""
                layers = (raised, part.path) if raised and os.path.isdir(raised) else (part.path,)
                _overlay(request.replace(merged=target, lower_dirs=layers), driver, part.path, number)
        except (OSError, Refused):
            # Others work on this machine: what is gone since it was listed is not shown.
            if os.path.lexists(part.path):
                raise
    if request.read_only:
        remount_read_only(request.merged)
    return MountedRootfs(path=request.merged)


def _skeleton(request: RootfsRequest, parts: tuple[Part, ...], skeleton_dir: str | None) -> str | None:
    if skeleton_dir is None or request.read_only:
        return None
    from rootless_pod.fuse.host_skeleton import skeleton

    return skeleton(skeleton_dir, [part.path for part in parts if part.kind == "overlay"])


def _make(part: Part, target: str) -> None:
    if part.kind == "symlink":
        if not os.path.lexists(target):
            os.symlink(part.text, target)
    elif part.kind == "file":
        _show_file(part.path, target)
    elif not os.path.isdir(target):
        os.mkdir(target)
        os.chmod(target, part.mode)


def _cover(request: RootfsRequest, part: Part, number: int) -> None:
    empty = f"{request.work}-empty/{number}"
    os.makedirs(empty, exist_ok=True)
    os.chmod(empty, part.mode)
    mount.bind(empty, f"{request.merged}{part.path}", recursive=False)


def _show_file(source: str, target: str) -> None:
    from rootless_pod.fuse.native import bind_read_only

    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
    bind_read_only(source, target)


def _overlay(request: RootfsRequest, driver: StorageDriver, source: str, number: int) -> None:
    """Mount one directory of the host; its upper and work directories are named by its path and number."""
    name = source.strip("/").replace("%", "%25").replace("/", "%2F")
    upper, work = f"{request.upper}/{name}", f"{request.work}/{number}"
    if not os.path.isdir(upper):
        os.mkdir(upper)
        os.chmod(upper, _mode(source))
    os.makedirs(work, exist_ok=True)
    driver.mount(request.replace(upper=upper, work=work))


def _mount_whole(
    request: RootfsRequest, driver: StorageDriver, surroundings: Surroundings, skeleton_dir: str | None
) -> MountedRootfs:
    """Mount ``/`` as one layer and cover what must not show with empty directories."""
    covers = sorted(_covers(surroundings), key=len)
    above = _skeleton(request, plan_host(surroundings), skeleton_dir)
    # A tree in user space shows the host's root as 65534; where that id is not mapped, the kernel refuses even to
    # unlink such a file (EOVERFLOW), so in single-id mode all files show as the user's.
    whole = request.replace(lower_dirs=(above, "/") if above else ("/",))
    if _is_single_id():
        squash = driver.name == "fuse-overlayfs"  # its own mapping would store new files under the last match
        whole = whole.replace(options=("squash_to_root",)) if squash else whole.replace(id_shift=_EVERYTHING_MINE)
    mounted = driver.mount(whole)
    try:
        for number, path in enumerate(covers):
            # A directory below one covered before is out of sight already.
            if not any(path.startswith(f"{above}/") for above in covers[:number]):
                _cover(request, _empty(path), number)
    except OSError as error:
        unmount_host(request, mounted)
        raise Refused(f"cannot hide {path} in the image host: {error}") from error
    return mounted


def _is_single_id() -> bool:
    """Tell whether this user namespace maps nothing but one id."""
    lines = procfs.read_text("/proc/self/uid_map").splitlines()
    return len(lines) == 1 and lines[0].split()[2] == "1"


def _covers(surroundings: Surroundings) -> set[str]:
    """Return the directories of the host to cover: private ones, and mounts that are no part of the system."""
    wanted = {*_SCRATCH, *(f"/{name}" for name in EMPTY_AT_TOP)}
    wanted.update(surroundings.hidden)
    wanted.update(point for point, kind in surroundings.mounts if kind not in _DISKS)
    return {path for path in wanted if _is_plain_directory(path)}


def _is_plain_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
