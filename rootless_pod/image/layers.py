"""Bring layers in: one forked worker a layer downloads, hashes, decompresses and unpacks in one stream.

A lock per chain id makes two rpods that want the same layer wait for each other instead of fetching it twice.
Workers die with their parent; what a killed one leaves is a staging directory and a temporary blob, both swept later.
"""

from __future__ import annotations

import os
import select
import signal
import time

from rootless_pod import errors, jsontext
from rootless_pod.errors import Corrupt, RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.image.layout import disk_error, open_layout
from rootless_pod.image.source import VerifiedBlob
from rootless_pod.linux.tree import remove_tree
from rootless_pod.oci.descriptor import Descriptor
from rootless_pod.state.lock import Lock
from rootless_pod.storage.compress import open_compressed
from rootless_pod.storage.layer import LayerInfo
from rootless_pod.storage.readahead import ReadAhead
from rootless_pod.storage.store import Store
from rootless_pod.storage.unpack import unpack_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from rootless_pod.image.layout import BlobWriter, Layout
    from rootless_pod.image.progress import Progress
    from rootless_pod.image.source import BlobReader, ImageSource
    from rootless_pod.paths import Paths

_WORKERS = 4
_PARENT_POLL_SECONDS = 0.02
_REPORT_SECONDS = 0.1


class LayerTask(Frozen):
    """One layer to bring in; ``below`` are the chain ids under it, bottom first.

    ``ahead``: it is read and decompressed in a thread of its own, because other layers don't fill the cores.
    """

    descriptor: Descriptor
    diff_id: str
    chain_id: str
    below: tuple[str, ...]
    ahead: bool = False


class LowerDirs(tuple[str, ...]):  # noqa: SLOT001 - slots of a tuple can't hold values
    """The trees below a layer, top first: whoever looks into it waits until they are unpacked."""

    _store: Store
    _chain_ids: tuple[str, ...]

    @classmethod
    def below(cls, store: Store, chain_ids: tuple[str, ...]) -> LowerDirs:
        """Return the trees of ``chain_ids`` (bottom first), top first."""
        made = cls(store.layer_path(chain) for chain in reversed(chain_ids))
        made._store = store
        made._chain_ids = chain_ids
        return made

    def __iter__(self) -> Iterator[str]:
        """Wait for all of them, then iterate."""
        while not all(self._store.has_layer(chain) for chain in self._chain_ids):
            time.sleep(_PARENT_POLL_SECONDS)
        return super().__iter__()


def is_complete(layout: Layout, store: Store, task: LayerTask, *, single_id: bool) -> bool:
    """Whether both the blob and the unpacked layer are here, and the layer is as good as it can be now."""
    here = store.has_layer(task.chain_id) and layout.has_blob(task.descriptor.digest, task.descriptor.size)
    return here and not store.is_poor(task.chain_id, single_id=single_id)


def missing_of(layout: Layout, store: Store, tasks: tuple[LayerTask, ...], *, single_id: bool) -> tuple[LayerTask, ...]:
    """Return the tasks of which blob or layer are not here."""
    return tuple(task for task in tasks if not is_complete(layout, store, task, single_id=single_id))


def bring_layers(
    paths: Paths, source: ImageSource, tasks: tuple[LayerTask, ...], *, single_id: bool, progress: Progress
) -> None:
    """Bring every task's blob and layer here, several at a time; what is here is not fetched.

    The caller is inside ``Unwritten``: nothing is written through to the disk here.
    After a failure the other workers are ended and their leavings swept; layers that were complete stay.

    Raises:
        RpodError: what the first failing worker raised.
    """
    layout, store = open_layout(paths), Store(paths)
    waiting = []
    for task in tasks:
        if is_complete(layout, store, task, single_id=single_id):
            progress.finish(task.descriptor.digest, "skipped: already exists")
        else:
            waiting.append(task)
    wanted = tuple(waiting)
    running: dict[int, _Worker] = {}
    try:
        while waiting or running:
            while waiting and len(running) < _WORKERS:
                task = waiting.pop(0)
                worker = _start(paths, source, task.replace(ahead=_is_large(task, wanted)), single_id=single_id)
                progress.begin(worker.digest, worker.size)
                running[worker.fd] = worker
            _collect(running, progress)
    except BaseException:
        for worker in running.values():
            worker.end()
        for task in tasks:
            _drop_lock(_lock_path(paths, task))
        layout.sweep()
        store.sweep()
        raise


def _is_large(task: LayerTask, tasks: tuple[LayerTask, ...]) -> bool:
    """Tell whether one core would still be at this layer when the others are done with the rest."""
    cores = len(os.sched_getaffinity(0))
    return task.descriptor.size * cores > sum(one.descriptor.size for one in tasks)


def _lock_path(paths: Paths, task: LayerTask) -> str:
    return f"{paths.locks}/layer-{task.chain_id}.lock"


def _drop_lock(path: str) -> None:
    """Remove the lock file of a killed worker, unless another process has the lock."""
    if not os.path.exists(path):
        return
    lock = Lock(path)
    if lock.acquire(wait=False):
        os.unlink(path)
        lock.release()


class _Worker:
    """The parent's side of one forked child."""

    def __init__(self, pid: int, fd: int, descriptor: Descriptor) -> None:
        self.pid = pid
        self.fd = fd
        self.digest = descriptor.digest
        self.size = descriptor.size
        self.rest = b""
        self.failure: dict[str, Any] | None = None
        self.done = False

    def end(self) -> None:
        """Kill and reap it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)

    def reap(self) -> None:
        """Reap an ended child and raise what it reported.

        Raises:
            RpodError: it failed.
        """
        _pid, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        if self.failure is not None:
            raise _rebuild(self.failure)
        if not self.done:
            code = os.waitstatus_to_exitcode(status)
            ended = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
            raise RpodError(f"the process bringing layer {self.digest} {ended}", remedy="look at: dmesg")


def _collect(running: dict[int, _Worker], progress: Progress) -> None:
    """Take reports of the workers for a moment; reap those that ended."""
    poller = select.poll()
    for fd in running:
        poller.register(fd, select.POLLIN)
    for fd, _event in poller.poll(200):
        worker = running[fd]
        part = os.read(fd, 65536)
        if not part:
            del running[fd]
            worker.reap()
            progress.finish(worker.digest, "done")
            continue
        *lines, worker.rest = (worker.rest + part).split(b"\n")
        for line in lines:
            report = jsontext.loads(line)
            if "seen" in report:
                progress.advance(worker.digest, report["seen"])
            elif "error" in report:
                worker.failure = report
            else:
                worker.done = True
    progress.refresh()


def _start(paths: Paths, source: ImageSource, task: LayerTask, *, single_id: bool) -> _Worker:
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(write_fd)
        return _Worker(pid, read_fd, task.descriptor)
    code = 1
    try:
        from rootless_pod.linux.process import PR_SET_PDEATHSIG, prctl

        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
            code = _child(paths, source, task, single_id=single_id, write_fd=write_fd)
    finally:
        os._exit(code)


def _child(paths: Paths, source: ImageSource, task: LayerTask, *, single_id: bool, write_fd: int) -> int:
    """Do the work and report how it went; never raises."""

    def report(**fields: object) -> None:
        os.write(write_fd, jsontext.dumps(fields).encode() + b"\n")

    try:
        bring_layer(paths, source, task, single_id=single_id, on_progress=lambda seen: report(seen=seen))
        report(done=True)
    except RpodError as fault:
        if isinstance(fault, errors.Corrupt) and task.descriptor.digest not in fault.message:
            fault.message = f"layer {task.descriptor.digest}: {fault.message}"
        family = next(one.__name__ for one in type(fault).__mro__ if one.__module__ == errors.__name__)
        report(error=family, message=fault.message, remedy=fault.remedy, exit_code=fault.exit_code)
    except OSError as cause:
        told = disk_error(cause, f"cannot unpack layer {task.descriptor.digest}", paths.graphroot)
        report(error="HostUnready", message=told.message, remedy=told.remedy, exit_code=told.exit_code)
    except BaseException:
        # A bug: its traceback goes to the parent.
        import traceback

        report(error="", message=traceback.format_exc(), remedy=None, exit_code=125)
    else:
        return 0
    return 1


def _rebuild(report: dict[str, Any]) -> Exception:
    family = getattr(errors, report["error"], None) if report["error"] else None
    if family is None:
        return RuntimeError(f"in the process bringing a layer:\n{report['message']}")
    made: RpodError = family(report["message"], remedy=report["remedy"], exit_code=report["exit_code"])
    return made


def bring_layer(
    paths: Paths, source: ImageSource, task: LayerTask, *, single_id: bool, on_progress: Callable[[int], None]
) -> None:
    """Bring one layer's blob and tree here, verified; waits for another rpod that is at the same layer.

    Raises:
        Corrupt: digest, size or diff id differ; nothing is kept then.
    """
    layout, store = open_layout(paths), Store(paths)
    lock = Lock(_lock_path(paths, task))
    with lock:
        try:
            if not is_complete(layout, store, task, single_id=single_id):
                _bring(layout, store, source, task, single_id=single_id, on_progress=on_progress)
        finally:
            # Whoever waits for this file sees that it is gone and takes a new one.
            os.unlink(lock.path)


def _bring(
    layout: Layout,
    store: Store,
    source: ImageSource,
    task: LayerTask,
    *,
    single_id: bool,
    on_progress: Callable[[int], None],
) -> None:
    descriptor = task.descriptor
    if layout.has_blob(descriptor.digest, descriptor.size):
        with open(layout.blob_path(descriptor.digest), "rb", buffering=0) as file:
            _unpack(store, _Copying(file, on_progress), task, single_id=single_id)
        return
    reader = source.blob(descriptor)
    try:
        with layout.new_blob(f"layer {descriptor.digest}") as copy:
            copying = _Copying(reader, on_progress, copy)
            if store.has_layer(task.chain_id) and not store.is_poor(task.chain_id, single_id=single_id):
                VerifiedBlob(copying, descriptor).finish()
            else:
                _unpack(store, copying, task, single_id=single_id)
            copy.commit(descriptor.digest, durable=False)
    finally:
        reader.close()


def _unpack(store: Store, blob: _Copying, task: LayerTask, *, single_id: bool) -> None:
    """Unpack into staging and, when every digest is right, give it its name."""
    descriptor = task.descriptor
    verified = VerifiedBlob(blob, descriptor)
    with store.staging() as staging:
        plain = open_compressed(verified, descriptor.media_type)
        ahead = ReadAhead(plain) if task.ahead else None
        try:
            result = unpack_layer(
                ahead or plain,
                staging.diff,
                single_id=single_id,
                lower_dirs=LowerDirs.below(store, task.below),
                digest=ahead.digest if ahead is not None else None,
            )
        finally:
            if ahead is not None:
                ahead.close()
        verified.finish()
        if result.diff_id != task.diff_id:
            raise Corrupt(
                f"layer {descriptor.digest} unpacks to {result.diff_id}, but the image's config says {task.diff_id}",
                remedy="ask the image's publisher: manifest and config don't belong together",
            )
        info = LayerInfo(
            chain_id=task.chain_id,
            diff_id=task.diff_id,
            parent=task.below[-1] if task.below else None,
            size_bytes=result.size_bytes,
            entries=result.entries,
            digest=descriptor.digest,
            blob_size_bytes=descriptor.size,
            media_type=descriptor.media_type,
            single_id=single_id,
            opaque_root=result.opaque_root,
            skipped=result.skipped,
        )
        if store.is_poor(task.chain_id, single_id=single_id):
            # No container of the old namespace runs any more in this one; its layer makes room.
            remove_tree(store.move_to_trash(store.layer_dir(task.chain_id)))
        staging.commit(task.chain_id, info, sync=False)


class _Copying:
    """A reader whose bytes also go into a blob of the store, and that says now and then how far it is."""

    def __init__(self, reader: BlobReader, report: Callable[[int], None], copy: BlobWriter | None = None) -> None:
        self._reader = reader
        self._report = report
        self._copy = copy
        self._seen = 0
        self._said_at = time.monotonic()

    def read(self, size: int, /) -> bytes:
        data = self._reader.read(size)
        if data and self._copy is not None:
            self._copy.write(data)
        self._seen += len(data)
        now = time.monotonic()
        if now - self._said_at >= _REPORT_SECONDS:
            self._said_at = now
            self._report(self._seen)
        return data

    def close(self) -> None:
        self._reader.close()
