"""What a pull has put in its place while the disk may not have it yet: noted, written out, judged after a power cut.

``unwritten/BOOTID-RANDOM`` names layers and blobs and is on the disk before they get their names. A process of its own
calls syncfs(2) when the image is there and removes the note; the directory goes with the last one. A note of this boot
is harmless (the page cache knows what the disk doesn't). One of another boot means that the machine went down in
between: its blobs are hashed, its layers unpacked anew. A note is flock'ed while somebody works on it.
"""

from __future__ import annotations

import os

from rootless_pod.errors import Corrupt, NotFound, RpodError
from rootless_pod.linux import procfs
from rootless_pod.state.lock import Lock
from rootless_pod.state.record import read_record, sync_directory, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Any, Self

    from rootless_pod.image.layers import LayerTask
    from rootless_pod.paths import Paths


def notes_dir(paths: Paths) -> str:
    """Return the directory of the notes; it is there only while there are any."""
    return f"{paths.graphroot}/unwritten"


class Unwritten:
    """A context in which layers and blobs get their names before they are on the disk."""

    def __init__(self, paths: Paths, tasks: Iterable[LayerTask], small: Iterable[str] = ()) -> None:
        """Name what may be added: layers with their blobs, and ``small`` blobs; nothing is written yet."""
        tasks = tuple(tasks)
        self._paths = paths
        self._layers = [task.chain_id for task in tasks]
        self._blobs = [*(task.descriptor.digest for task in tasks), *small]
        self._lock = Lock("")

    @property
    def durable(self) -> bool:
        """Whether small blobs must be written through by themselves, because nothing notes them."""
        return not self._layers

    def __enter__(self) -> Self:
        """Write the note, on the disk when this returns; without tasks there is none."""
        if not self._layers:
            return self
        directory = notes_dir(self._paths)
        path = f"{directory}/{procfs.boot_id()}-{os.urandom(8).hex()}"
        while True:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            try:
                self._lock = Lock(path)
                self._lock.acquire()
                write_record(f"{path}.json", {"layers": self._layers, "blobs": self._blobs}, durable=True)
                sync_directory(self._paths.graphroot)
            except FileNotFoundError:
                self._lock.release()
                continue  # whoever removed the last note took the directory with it
            return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let a process of its own write it all to the disk; nobody waits for it."""
        if self._layers:
            _in_background(self._paths, self._lock)
            self._lock.release()


def _in_background(paths: Paths, lock: Lock) -> None:
    """Fork twice, so that nobody has to reap it; it holds nothing of ours but the note's lock."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            lock.keep_alone()
            write_out(paths, lock.path)
    finally:
        os._exit(0)


def write_out(paths: Paths, note: str) -> None:
    """Write layers and image store to the disk, then remove the note whose lock is ours."""
    from rootless_pod.linux.tree import syncfs

    places = {os.stat(place).st_dev: place for place in (paths.layers, paths.image) if os.path.isdir(place)}
    for place in places.values():
        syncfs(place)
    _remove(note)


def _remove(note: str) -> None:
    for path in (f"{note}.json", note):
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
    try:
        os.rmdir(os.path.dirname(note))
    except OSError:
        pass  # there are others


def _notes(directory: str) -> Iterator[str]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    for name in sorted(names):
        if name.startswith("."):
            _remove(f"{directory}/{name}")  # a half-written note: nothing had begun
        elif not name.endswith(".json"):
            yield f"{directory}/{name}"


def settle(paths: Paths) -> None:
    """Deal with notes whose writer is dead: those of this boot are written out, those of another one judged."""
    for note in _notes(notes_dir(paths)):
        lock = Lock(note)
        try:
            if not lock.acquire(wait=False):
                continue
        except FileNotFoundError:
            continue
        try:
            if not os.path.exists(f"{note}.json") or os.path.basename(note).startswith(procfs.boot_id()):
                write_out(paths, note)
            else:
                _judge(paths, note)
        finally:
            lock.release()


def _judge(paths: Paths, note: str) -> None:
    """After a power cut: what the note names is kept only where its bytes are right."""
    from rootless_pod import log

    try:
        record = read_record(f"{note}.json")
    except (NotFound, Corrupt):
        record = {}  # it was never whole: nothing had begun
    lost = _drop_layers(paths, record.get("layers", ())) + _drop_blobs(paths, record.get("blobs", ()))
    if lost:
        log.warn(
            "the machine went down while an image was being written: "
            f"{lost} of its parts are made anew when they are needed"
        )
    write_out(paths, note)


def _drop_layers(paths: Paths, chain_ids: Iterable[Any]) -> int:
    """Take those layers away: a tree can't be compared quickly, but its blob can, and unpacked again."""
    from rootless_pod.linux.tree import remove_tree
    from rootless_pod.storage.store import Store

    store, dropped = Store(paths), 0
    for chain_id in chain_ids:
        path = store.layer_dir(str(chain_id))
        if store.is_foreign(str(chain_id)) or not os.path.lexists(path):
            continue
        remove_tree(store.move_to_trash(path))
        dropped += 1
    return dropped


def _drop_blobs(paths: Paths, digests: Iterable[Any]) -> int:
    """Remove the blobs whose bytes are not what their name says."""
    from rootless_pod.image.layout import open_layout
    from rootless_pod.oci.digest import Verifier

    layout, dropped = open_layout(paths), 0
    for digest in digests:
        path = layout.own_path(str(digest))
        try:
            with open(path, "rb", buffering=0) as file:
                verifier = Verifier(str(digest), os.fstat(file.fileno()).st_size)
                while data := file.read(1 << 20):
                    verifier.update(data)
            verifier.finish()
        except FileNotFoundError:
            continue
        except (RpodError, OSError):
            os.unlink(path)
            dropped += 1
    return dropped
