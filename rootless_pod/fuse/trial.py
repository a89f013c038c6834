"""Try a storage driver for real: two layers, a whiteout, a copy-up, a write, and away again."""

from __future__ import annotations

import os

from rootless_pod.errors import HostUnready, RpodError
from rootless_pod.fuse.driver import IdShift, RootfsRequest, ShiftRange
from rootless_pod.fuse.whiteout import make_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.fuse.driver import StorageDriver

SWAPPED = IdShift(
    uids=(ShiftRange(container_id=0, parent_id=1, size=1), ShiftRange(container_id=1, parent_id=0, size=1)),
    gids=(ShiftRange(container_id=0, parent_id=1, size=1), ShiftRange(container_id=1, parent_id=0, size=1)),
)
"""The smallest shift: the container's 0 and 1 are 1 and 0 of the user's namespace."""


def try_driver(driver: StorageDriver, scratch_dir: str, *, id_shift: bool) -> None:
    """Mount, check what is shown and what is stored, unmount; leftovers stay in ``scratch_dir``.

    Raises:
        HostUnready: a step failed or showed the wrong thing; the message says which.
    """
    request = _lay_out(scratch_dir, SWAPPED if id_shift else None)
    try:
        mounted = driver.mount(request)
    except RpodError as error:
        raise HostUnready(error.message, remedy=error.remedy or "name another driver with --storage-driver") from error
    except OSError as error:
        raise HostUnready(f"{driver.name}: cannot mount: {error}") from error
    try:
        _check(request, driver.name)
    except OSError as error:
        raise HostUnready(f"{driver.name}: a mounted tree does not work: {error}") from error
    finally:
        driver.unmount(request, mounted)
    if os.path.lexists(f"{request.merged}/kept"):
        raise HostUnready(f"{driver.name}: the tree stays mounted after unmounting")


def _lay_out(scratch_dir: str, id_shift: IdShift | None) -> RootfsRequest:
    for name in ("bottom", "bottom/dir", "top", "upper", "work", "merged"):
        os.mkdir(f"{scratch_dir}/{name}", 0o755)
    for name in ("bottom/kept", "bottom/gone", "bottom/dir/inner"):
        _write(f"{scratch_dir}/{name}", b"lower")
    top = os.open(f"{scratch_dir}/top", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        make_whiteout(top, b"gone")
    finally:
        os.close(top)
    return RootfsRequest(
        container_dir=scratch_dir,
        merged=f"{scratch_dir}/merged",
        upper=f"{scratch_dir}/upper",
        work=f"{scratch_dir}/work",
        lower_dirs=(f"{scratch_dir}/top", f"{scratch_dir}/bottom"),
        id_shift=id_shift,
    )


def _check(request: RootfsRequest, name: str) -> None:
    merged = request.merged
    _want(not os.path.lexists(f"{merged}/gone"), name, "a whiteout does not hide the file below it")
    _want(_read(f"{merged}/kept") == b"lower", name, "a lower file reads wrong")
    _write(f"{merged}/kept", b" and upper", append=True)
    _want(_read(f"{merged}/kept") == b"lower and upper", name, "appending to a lower file lost its content")
    bottom = f"{request.container_dir}/bottom"
    _want(_read(f"{bottom}/kept") == b"lower", name, "writing changed the layer below")
    os.unlink(f"{merged}/dir/inner")
    os.rmdir(f"{merged}/dir")
    os.mkdir(f"{merged}/dir")
    _want(os.listdir(f"{merged}/dir") == [], name, "a directory made anew shows old entries")
    _write(f"{merged}/new", b"new")
    os.rename(f"{merged}/new", f"{merged}/dir/new")
    _want(_read(f"{merged}/dir/new") == b"new", name, "a renamed file lost its content")
    if request.id_shift is not None:
        shown = os.stat(f"{merged}/kept")
        _want((shown.st_uid, shown.st_gid) == (1, 1), name, "owners are not shifted")
        _want(os.stat(f"{merged}/dir/new").st_uid == 0, name, "a new file does not belong to its maker")


def _want(holds: bool, name: str, otherwise: str) -> None:  # noqa: FBT001 - an assertion
    if not holds:
        raise HostUnready(f"{name}: {otherwise}")


def _write(path: str, data: bytes, *, append: bool = False) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if append else os.O_EXCL)
    fd = os.open(path, flags, 0o644)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)
