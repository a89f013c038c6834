"""What killed commands left in the store: of no harm, and swept by whoever comes next."""

from __future__ import annotations

import fcntl
import os
import time

from rootless_pod.errors import Corrupt
from rootless_pod.frozen import Frozen
from rootless_pod.image.layout import is_half_written
from rootless_pod.image.remove import reachable_blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless_pod.image.layout import Layout
    from rootless_pod.paths import Paths
    from rootless_pod.storage.store import Store


class Leftover(Frozen):
    """One thing that lies about, and what takes it away."""

    kind: str
    name: str
    text: str
    mend: Callable[[], None]


def leftovers(paths: Paths, layout: Layout, store: Store, *, age_seconds: float) -> Iterator[Leftover]:
    """Return what nobody works on; blobs that no image needs only when older than ``age_seconds``."""
    killed = "left by a killed command"
    for name in names_in(store.root):
        if name.startswith((".staging-", ".trash-")) and not _is_held(f"{store.root}/{name}/lock"):
            yield Leftover(kind="layer", name=name, text=killed, mend=lambda: _swept(store.sweep))
    for name in names_in(f"{layout.root}/blobs"):
        if name.startswith(".tmp-") and not _is_held(f"{layout.root}/blobs/{name}"):
            yield Leftover(kind="blob", name=name, text=killed, mend=layout.sweep)
    for name in names_in(layout.root):
        # One that is being written gets its name at once.
        if is_half_written(name) and is_old(f"{layout.root}/{name}", 60.0):
            yield Leftover(kind="index", name=name, text=killed, mend=layout.sweep)
    yield from _unused_blobs(layout, age_seconds)
    for name in names_in(paths.locks):
        path = f"{paths.locks}/{name}"
        if name.startswith("layer-") and not _is_held(path):
            yield Leftover(kind="lock", name=name, text="its holder was killed", mend=_remover(path))


def _unused_blobs(layout: Layout, age_seconds: float) -> Iterator[Leftover]:
    try:
        reachable = reachable_blobs(layout)
    except Corrupt:
        return  # nobody knows what is needed
    for name in names_in(f"{layout.root}/blobs/sha256"):
        if f"sha256:{name}" not in reachable and is_old(f"{layout.root}/blobs/sha256/{name}", age_seconds):
            yield Leftover(kind="blob", name=name, text="no image needs it", mend=later)


def names_in(directory: str) -> list[str]:
    """Return the names in a directory, sorted; none if it is not there."""
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []


def is_old(path: str, age_seconds: float) -> bool:
    """Tell whether a file was last changed at least ``age_seconds`` ago."""
    try:
        return time.time() - os.stat(path).st_ctime >= age_seconds
    except OSError:
        return False


def later() -> None:
    """Do nothing now: what no image needs goes with the sweep after the check."""


def _is_held(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _swept(sweep: Callable[[], int]) -> None:
    sweep()


def _remover(path: str) -> Callable[[], None]:
    def remove() -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass

    return remove
