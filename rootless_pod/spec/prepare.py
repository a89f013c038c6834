"""What the spec needs inside the mounted root file system: the working directory, rows of passwd and group. HOT."""

from __future__ import annotations

import os
import stat

from rootless_pod.errors import Refused
from rootless_pod.fuse.driver import OVERFLOW_ID
from rootless_pod.linux.inroot import make_directories_in_root, open_in_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.spec.generate import Spec
    from rootless_pod.spec.rootless import UserMapping
    from rootless_pod.userns.idmap import IdRange


def prepare_rootfs(rootfs: str, spec: Spec, *, own: str = "") -> None:
    """Make missing directories and append rows; no symbolic link of the image leads out of ``rootfs``.

    Idempotent as far as ``generate`` is: it asks only for what it did not find.

    Raises:
        Refused: the tree does not allow it (a file in the way, a full or read-only file system).
    """
    _require_reachable(rootfs, spec.mapping, own)
    read_only = bool(spec.config["root"]["readonly"])
    mounted = [mount["destination"] for mount in spec.config["mounts"] if mount["destination"] != "/"]
    for path, owner in spec.directories:
        if any(path == target or path.startswith(target + "/") for target in mounted):
            continue  # the runtime makes the mount point, and what is below it belongs to the volume
        try:
            make_directories_in_root(rootfs, path, owner=owner)
        except OSError as cause:
            if read_only:
                continue
            raise Refused(
                f"cannot make the working directory {path} in the container: {cause.strerror}",
                remedy="use another --workdir",
            ) from cause
    for path, line in spec.appends:
        try:
            _append(rootfs, path, line)
        except OSError as cause:
            raise Refused(
                f"cannot add a row to {path} of the container: {cause.strerror}", remedy="use --passwd=false"
            ) from cause


def _require_reachable(rootfs: str, mapping: UserMapping, own: str) -> None:
    """Check that root of the container's own namespace can enter every directory above its root file system.

    Those from ``own`` down are rpod's, and opened (o+x) where that is needed; what lies in them stays private.

    Where the directories' owner is mapped (keep-id), it can; with nomap it is a stranger to them.
    """
    if not mapping.own or not mapping.uids:
        return  # the user's own, or one by path of which nothing is known
    directory = os.path.dirname(rootfs)
    while directory != "/":
        status = os.stat(directory)
        if not status.st_mode & stat.S_IXOTH and not (
            _mapped(mapping.uids, status.st_uid) and _mapped(mapping.gids, status.st_gid)
        ):
            if own and f"{directory}/".startswith(f"{own}/"):
                os.chmod(directory, stat.S_IMODE(status.st_mode) | stat.S_IXOTH)
                directory = os.path.dirname(directory)
                continue
            raise Refused(
                f"the container's root could not enter {directory}: its owner or its group has no id in there",
                remedy=f"chmod o+x {directory}, or keep containers elsewhere with --root DIR",
            )
        directory = os.path.dirname(directory)


def _mapped(ranges: tuple[IdRange, ...], number: int) -> bool:
    if number == OVERFLOW_ID:
        return False  # what the kernel shows of an id that even the user's namespace lacks
    return any(entry.host_id <= number < entry.host_id + entry.size for entry in ranges)


def _append(rootfs: str, path: str, line: str) -> None:
    fd = open_in_root(rootfs, path, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file", path)
        last = os.pread(fd, 1, status.st_size - 1) if status.st_size else b"\n"
        row = line.encode(errors="surrogateescape") + b"\n"
        os.write(fd, row if last == b"\n" else b"\n" + row)
    finally:
        os.close(fd)
