"""Driver ``overlay``: the kernel's own overlay file system, mounted inside the user namespace.

``userxattr`` keeps its marks in ``user.overlay.*`` attributes, which a user may set (Linux 5.11).
"""

from __future__ import annotations

import errno
import os

from rootless_pod.errors import Refused
from rootless_pod.fuse.driver import MountedRootfs
from rootless_pod.linux import mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.fuse.driver import RootfsRequest

_REMEDY = "use another driver: --storage-driver fuse-overlayfs (apt-get install fuse-overlayfs)"


class NativeOverlay:
    """Overlay in the kernel: fastest, no helper process."""

    name = "overlay"
    shifts_ids = True

    def mount(self, request: RootfsRequest) -> MountedRootfs:
        """Mount the layers; a tree of one read-only layer is a bind mount.

        Raises:
            Refused: the kernel said no.
        """
        lower_dirs = tuple(dict.fromkeys(request.lower_dirs))
        try:
            if request.id_shift is not None:
                from rootless_pod.fuse.idmapped import mount_idmapped

                mount_idmapped(request.replace(lower_dirs=lower_dirs))
            elif request.read_only and len(lower_dirs) == 1:
                bind_read_only(lower_dirs[0], request.merged)
            else:
                upper, work = (None, None) if request.read_only else (request.upper, request.work)
                _mount_overlay(request, lower_dirs, upper, work)
        except OSError as error:
            raise Refused(_words(error, request), remedy=_REMEDY) from error
        return MountedRootfs(path=request.merged)

    def unmount(self, request: RootfsRequest, mounted: MountedRootfs) -> None:  # noqa: ARG002 - the protocol's
        """Take the tree off ``mounted.path``; idempotent."""
        detach(mounted.path)

    def probe(self, scratch_dir: str, *, id_shift: bool = False) -> None:
        """Mount two layers and work on them.

        Raises:
            HostUnready: the kernel or the file system of ``scratch_dir`` can't do it.
        """
        from rootless_pod.fuse.trial import try_driver

        try_driver(self, scratch_dir, id_shift=id_shift)


def bind_read_only(source: str, target: str) -> None:
    """Show ``source`` at ``target``, read-only (raises OSError; nothing is mounted then)."""
    mount.bind(source, target, recursive=False)
    try:
        remount_read_only(target)
    except OSError:
        detach(target)
        raise


def remount_read_only(target: str) -> None:
    """Make the bind mount at ``target`` read-only; flags the kernel holds locked are kept (raises OSError)."""
    vfs = os.statvfs(target).f_flag
    # ST_NOSUID, ST_NODEV, ST_NOEXEC have the values of their MS_ twins; leaving a locked one out is EPERM.
    kept = vfs & (mount.MS_NOSUID | mount.MS_NODEV | mount.MS_NOEXEC)
    if vfs & os.ST_NOATIME:
        kept |= mount.MS_NOATIME
    if vfs & os.ST_RELATIME:
        kept |= mount.MS_RELATIME
    mount.mount(None, target, None, mount.MS_REMOUNT | mount.MS_BIND | mount.MS_RDONLY | kept)


def detach(path: str) -> None:
    """Take every mount off ``path``, with all below it; idempotent.

    Raises:
        Refused: the kernel keeps it mounted.
    """
    for _layer in range(64):
        try:
            mount.umount(path)
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.ENOENT, errno.ENOTDIR}:
                return
            raise Refused(
                f"cannot unmount {path}: {error.strerror}", remedy="end the programs that use it (fuser -vm PATH)"
            ) from error


def _mount_overlay(request: RootfsRequest, lower_dirs: tuple[str, ...], upper: str | None, work: str | None) -> None:
    options = ["userxattr", *request.options]
    if upper is not None and work is not None:
        drop_volatile_mark(work)
        if request.volatile:
            options.append("volatile")
    elif len(lower_dirs) == 1:
        raise OSError(errno.EINVAL, "one layer needs an upper directory", request.merged)
    data = ",".join(options) + ",lowerdir=" + ":".join(lower_dirs)
    if upper is not None and work is not None:
        data += f",upperdir={upper},workdir={work}"
    from rootless_pod.linux import overlay

    names = [*lower_dirs, upper or "", work or ""]
    plain = not any(overlay.SPECIAL.intersection(name) for name in names)
    if plain and len(os.fsencode(data)) <= overlay.PAGE_LIMIT:
        mount.mount("overlay", request.merged, "overlay", 0, data)
        return
    try:
        overlay.mount_by_fsconfig(request.merged, lower_dirs, upper, work, options)
    except OSError as error:
        if error.errno not in {errno.ENOSYS, errno.EINVAL, errno.EPERM}:
            raise
        overlay.mount_by_numbers(request.merged, lower_dirs, upper, work, options)


def drop_volatile_mark(work: str) -> None:
    """Remove the mark that a ``volatile`` mount leaves in its work directory: it refuses the next mount.

    The mark guards against a power cut; a container that is thrown away has nothing to lose by one.
    """
    if os.path.lexists(f"{work}/work/incompat"):
        from rootless_pod.linux.tree import remove_tree

        remove_tree(f"{work}/work")


def _words(error: OSError, request: RootfsRequest) -> str:
    reason = (error.strerror or str(error)).split(": ", 1)[-1]
    if request.id_shift is not None and error.errno == errno.EPERM:
        return (
            "the kernel's overlay cannot shift ids here: an idmapped mount of a disk's file system "
            f"needs root on the host ({reason})"
        )
    return f"the kernel refused an overlay at {request.merged}: {reason}"
