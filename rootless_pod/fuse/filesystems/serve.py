"""The process behind a mounted overlay: ``python -m rootless_pod.fuse.filesystems.serve``.

Reads its order (JSON, see ``order_of``) from standard input, mounts, tells descriptor 3 ``ok`` or the text of what
failed, and answers the kernel until the tree is unmounted. Started by ``fuse.pyfuse3_overlay``.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING

from rootless_pod import jsontext
from rootless_pod.fuse.driver import IdShift, ShiftRange
from rootless_pod.linux import mount, process

if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.fuse.driver import RootfsRequest
    from rootless_pod.fuse.filesystems.overlay import Overlay

READY_FD = 3
MOUNT_TYPE = "fuse.rpod-overlay"
_MAX_DIRECTORY_FDS = 4096


def order_of(request: RootfsRequest) -> dict[str, Any]:
    """Return what this process has to know of a request, as a JSON object."""
    shift = request.id_shift
    return {
        "merged": request.merged,
        "upper": None if request.read_only else request.upper,
        "work": None if request.read_only else request.work,
        "lower_dirs": list(request.lower_dirs),
        "volatile": request.volatile,
        "id_shift": None
        if shift is None
        else {"uids": [part.as_dict() for part in shift.uids], "gids": [part.as_dict() for part in shift.gids]},
    }


def _shift_of(order: dict[str, Any]) -> IdShift | None:
    shift = order["id_shift"]
    if shift is None:
        return None
    return IdShift(
        uids=tuple(ShiftRange(**part) for part in shift["uids"]),
        gids=tuple(ShiftRange(**part) for part in shift["gids"]),
    )


def _read_order() -> dict[str, Any]:
    parts = []
    while part := os.read(0, 65536):
        parts.append(part)
    order = jsontext.loads(b"".join(parts))
    if not isinstance(order, dict):
        raise TypeError("the order is not a JSON object")
    return order


def _prepare_process() -> int:
    """Set limits and signals; return how many directory descriptors may be held."""
    os.umask(0)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    process.set_name("rpod-overlay")
    return min(_MAX_DIRECTORY_FDS, max(64, hard // 4))


def _mount(merged: str, *, read_only: bool) -> int:
    """Mount a FUSE file system that is answered through the returned descriptor (no fusermount3 needed)."""
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other"
    try:
        mount.mount("rpod-overlay", merged, MOUNT_TYPE, mount.MS_RDONLY if read_only else 0, options)
    except OSError:
        os.close(fd)
        raise
    return fd


def _start(order: dict[str, Any]) -> Overlay:
    import pyfuse3

    from rootless_pod.fuse.filesystems.layers import Layers
    from rootless_pod.fuse.filesystems.overlay import Overlay
    from rootless_pod.fuse.filesystems.tree import Tree

    max_fds = _prepare_process()
    layers = Layers(order["upper"], order["work"], order["lower_dirs"])
    tree = Tree(layers, max_fds=max_fds)
    overlay = Overlay(tree, id_shift=_shift_of(order), volatile=order["volatile"])
    fd = _mount(order["merged"], read_only=order["upper"] is None)
    pyfuse3.init(overlay, f"/dev/fd/{fd}", {"default_permissions", "allow_other"})
    return overlay


def main() -> int:
    """Serve one tree; return the exit code."""
    try:
        order = _read_order()
        _start(order)
    except Exception as error:
        os.write(READY_FD, f"{type(error).__name__}: {error}".encode(errors="backslashreplace"))
        return 1
    os.write(READY_FD, b"ok")
    os.close(READY_FD)
    # What was made up to here stays for good: not worth looking at in each collection.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    import pyfuse3

    from rootless_pod.fuse.filesystems import loop

    loop.serve()
    pyfuse3.close(unmount=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
