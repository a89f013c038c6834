"""The image store: a plain OCI image layout that any OCI tool can read as it is.

Blobs are written to ``blobs/.tmp-RANDOM`` (held by a flock while it grows) and renamed when their digest is known
to be right. ``index.json`` is replaced by rename, under a short lock; every name is one descriptor whose annotation
``org.opencontainers.image.ref.name`` is the full reference. Source: OCI image-layout specification 1.1.
"""

from __future__ import annotations

import errno
import fcntl
import os

from rootless_pod import jsontext
from rootless_pod.errors import Corrupt, HostUnready, NotFound
from rootless_pod.frozen import Frozen
from rootless_pod.oci.mediatype import INDEXES, OCI_MANIFEST
from rootless_pod.state.lock import Lock
from rootless_pod.state.record import read_bytes, write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self

    from rootless_pod.errors import RpodError
    from rootless_pod.paths import Paths

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_ID = "io.github.rootless-pod.image.id"
PULLED_DIGEST = "io.github.rootless-pod.pulled-digest"
# Why the trust policy accepted the image, as trust/verdict.py writes it.
TRUST = "io.github.rootless-pod.trust"
ARTIFACT = "io.github.rootless-pod.artifact"
# Other tools look for OCI manifests only: a Docker manifest is listed as its OCI twin, which names the original here.
ORIGINAL = "io.github.rootless-pod.original"
_LAYOUT_FILE = b'{"imageLayoutVersion":"1.0.0"}'
_TEMPORARY = ".tmp-"
_SMALL_LIMIT = 16 << 20


class IndexEntry(Frozen):
    """One descriptor of ``index.json``: a manifest, and the name it goes by (None: dangling).

    ``twin_digest`` and ``twin_size`` are those of the OCI manifest that stands for a Docker one in ``index.json``.
    """

    digest: str
    media_type: str
    size: int
    name: str | None = None
    annotations: dict[str, str] = {}
    twin_digest: str = ""
    twin_size: int = 0

    @property
    def image_id(self) -> str | None:
        """Hex of the config digest, when we wrote the entry ourselves."""
        return self.annotations.get(IMAGE_ID)

    @property
    def is_list(self) -> bool:
        """Whether it is a list of manifests made here, not an image."""
        return self.media_type in INDEXES

    @property
    def is_artifact(self) -> bool:
        """Whether it is an artifact: something that is kept, not run."""
        return ARTIFACT in self.annotations

    @property
    def pulled_digest(self) -> str | None:
        """Digest of the index the manifest was chosen from, if there was one."""
        return self.annotations.get(PULLED_DIGEST)

    def to_json(self) -> dict[str, Any]:
        """Return the descriptor."""
        annotations = {**self.annotations, **({REF_NAME: self.name} if self.name else {})}
        descriptor: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.twin_digest:
            annotations[ORIGINAL] = f"{self.digest} {self.size} {self.media_type}"
            descriptor = {"mediaType": OCI_MANIFEST, "digest": self.twin_digest, "size": self.twin_size}
        return {**descriptor, "annotations": annotations} if annotations else descriptor


def _check_descriptor(descriptor: dict[str, Any]) -> None:
    """Raise TypeError or KeyError where a field that is read later is not there, or is of another kind."""
    annotations = descriptor.get("annotations") or {}
    texts = (descriptor["digest"], descriptor.get("mediaType", ""), *annotations, *annotations.values())
    if type(descriptor["size"]) is not int or not all(isinstance(text, str) for text in texts):
        raise TypeError("a descriptor has a field of the wrong kind")


def _entry(descriptor: dict[str, Any]) -> IndexEntry:
    annotations = dict(descriptor.get("annotations") or {})
    name = annotations.pop(REF_NAME, None)
    digest, size, media_type = descriptor["digest"], descriptor["size"], descriptor.get("mediaType", "")
    original = annotations.pop(ORIGINAL, "").split(" ")
    if len(original) == 3 and original[1].isdigit():
        return IndexEntry(
            digest=original[0],
            media_type=original[2],
            size=int(original[1]),
            name=name,
            annotations=annotations,
            twin_digest=digest,
            twin_size=size,
        )
    return IndexEntry(digest=digest, media_type=media_type, size=size, name=name, annotations=annotations)


_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def disk_error(cause: OSError, what: str, path: str) -> RpodError:
    """Turn an OSError met while writing the store into words."""
    if cause.errno in _DISK_FULL:
        return HostUnready(
            f"{what}: no space left below {path}", remedy="free space there, or give another place with --root DIR"
        )
    remedy = (
        f"make the directory {os.path.dirname(cause.filename or path)}"
        if isinstance(cause, FileNotFoundError)
        else None
    )
    return HostUnready(f"{what}: {cause.strerror or cause} ({cause.filename or path})", remedy=remedy)


class Layout:
    """An OCI image layout in ``root``; every method may be called by several processes at once."""

    def __init__(self, root: str, lock_path: str, beside: tuple[str, ...] = ()) -> None:
        """Name the directory and the lock for ``index.json``; nothing is made yet.

        Blobs that are not here are read from the layouts ``beside``, which are never written.
        """
        self.root = root
        self.beside = beside
        self._lock_path = lock_path

    def prepare(self) -> None:
        """Make the layout if it is not there; idempotent."""
        if os.path.exists(f"{self.root}/oci-layout") and os.path.isdir(f"{self.root}/blobs/sha256"):
            return
        try:
            os.makedirs(f"{self.root}/blobs/sha256", mode=0o700, exist_ok=True)
            if not os.path.exists(f"{self.root}/index.json"):
                with Lock(self._lock_path):
                    if not os.path.exists(f"{self.root}/index.json"):
                        self._write_index([])
            write_bytes(f"{self.root}/oci-layout", _LAYOUT_FILE, mode=0o644)
        except OSError as cause:
            raise disk_error(cause, "cannot make the image store", self.root) from cause

    def blob_path(self, digest: str) -> str:
        """Return where the blob lies (whether it is there or not); in a layout beside if only that has it."""
        path = self.own_path(digest)
        if self.beside and not os.path.exists(path):
            name = f"blobs/{digest.replace(':', '/')}"
            return next((found for root in self.beside if os.path.exists(found := f"{root}/{name}")), path)
        return path

    def own_path(self, digest: str) -> str:
        """Return where the blob lies in this layout itself (whether it is there or not)."""
        return f"{self.root}/blobs/{digest.replace(':', '/')}"

    def has_blob(self, digest: str, size: int | None = None) -> bool:
        """Whether the blob is here (and has ``size`` bytes)."""
        try:
            found = os.stat(self.blob_path(digest)).st_size
        except OSError:
            return False
        return size is None or found == size

    def read_blob(self, digest: str) -> bytes:
        """Return a small blob (manifest, config), checked against its digest.

        Raises:
            NotFound: it is not here.
            Corrupt: its bytes have another digest.
        """
        path = self.blob_path(digest)
        try:
            if os.stat(path).st_size > _SMALL_LIMIT:
                raise Corrupt(f"blob {digest} is too large for a manifest or a config")
            data = read_bytes(path)
        except FileNotFoundError as cause:
            raise NotFound(f"blob {digest} is missing from the image store", remedy="pull the image again") from cause
        from rootless_pod.oci.digest import of_bytes

        if of_bytes(data) != digest:
            raise Corrupt(f"blob {digest} in the image store is damaged", remedy="remove the image and pull it again")
        return data

    def write_blob(self, data: bytes, *, durable: bool = True) -> str:
        """Keep ``data`` and return its digest; ``durable`` as in ``BlobWriter.commit``."""
        from rootless_pod.oci.digest import of_bytes

        digest = of_bytes(data)
        if not os.path.exists(self.own_path(digest)) or not self.has_blob(digest, len(data)):
            with self.new_blob(digest) as blob:
                blob.write(data)
                blob.commit(digest, durable=durable)
        return digest

    def new_blob(self, what: str) -> BlobWriter:
        """Begin a blob; ``what`` names it in errors."""
        return BlobWriter(self, what)

    def entries(self) -> tuple[IndexEntry, ...]:
        """Return what ``index.json`` lists, in its order; nothing when there is no store yet."""
        return tuple(_entry(descriptor) for descriptor in self._read_index())

    def update(self, change: Callable[[list[IndexEntry]], list[IndexEntry]]) -> None:
        """Replace the list of entries by ``change(entries)`` in one durable step, under the lock."""
        with Lock(self._lock_path):
            before = [_entry(descriptor) for descriptor in self._read_index()]
            after = change(list(before))
            if after != before:
                self._write_index([entry.to_json() for entry in after])

    def _read_index(self) -> list[dict[str, Any]]:
        try:
            index = jsontext.loads(read_bytes(f"{self.root}/index.json"))
            manifests = index["manifests"]
            for descriptor in manifests:
                _check_descriptor(descriptor)
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, AttributeError) as cause:
            raise Corrupt(f"{self.root}/index.json is damaged: {cause}", remedy="run: rpod system check") from cause
        return list(manifests)

    def _write_index(self, manifests: list[dict[str, Any]]) -> None:
        index = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": manifests,
        }
        data = jsontext.dumps(index).encode()
        try:
            try:
                write_bytes(f"{self.root}/index.json", data, durable=True, mode=0o644)
            except OSError as cause:
                # Whoever removes images to free a full disk must be able to: what is only a cache makes room.
                if cause.errno not in _DISK_FULL or not self._drop_caches():
                    raise
                write_bytes(f"{self.root}/index.json", data, durable=True, mode=0o644)
        except OSError as cause:
            raise disk_error(cause, "cannot update the image store", self.root) from cause

    def _drop_caches(self) -> bool:
        """Remove what look-ups of images left; return whether there was anything."""
        directory = f"{os.path.dirname(self.root)}/image-cache"
        try:
            names = os.listdir(directory)
            for name in names:
                os.unlink(f"{directory}/{name}")
        except OSError:
            return False
        return bool(names)

    def sweep(self) -> None:
        """Remove temporary blobs that no living process writes."""
        try:
            names = os.listdir(f"{self.root}/blobs")
        except OSError:
            return
        for name in names:
            if name.startswith(_TEMPORARY):
                _remove_if_unlocked(f"{self.root}/blobs/{name}")
        self._sweep_index()

    def _sweep_index(self) -> None:
        """Remove what killed writers of ``index.json`` left beside it: whoever has its lock is the only writer."""
        left = [name for name in os.listdir(self.root) if is_half_written(name)]
        lock = Lock(self._lock_path)
        if not left or not lock.acquire(wait=False):
            return
        try:
            for name in left:
                os.unlink(f"{self.root}/{name}")
        except FileNotFoundError:
            pass  # put in its place, or swept by another, before the lock was ours
        finally:
            lock.release()


def is_half_written(name: str) -> bool:
    """Whether a file in a layout is an ``index.json`` that has not got its name (yet)."""
    return name.startswith(".index.json.") and name.endswith(".tmp")


def _remove_if_unlocked(path: str) -> None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except OSError:
        pass
    finally:
        os.close(fd)


class BlobWriter:
    """A blob that grows in a temporary file; gone again unless ``commit`` was reached. A context manager."""

    def __init__(self, layout: Layout, what: str) -> None:
        """See ``Layout.new_blob``."""
        self._layout = layout
        self._what = what
        self._path = f"{layout.root}/blobs/{_TEMPORARY}{os.urandom(8).hex()}"
        self._fd = -1
        self.size = 0

    def __enter__(self) -> Self:
        try:
            while True:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
                fcntl.flock(self._fd, fcntl.LOCK_EX)
                if os.fstat(self._fd).st_nlink:
                    return self
                # A sweeper took it between open and flock.
                os.close(self._fd)
        except OSError as cause:
            raise disk_error(cause, f"cannot write {self._what}", self._layout.root) from cause

    def write(self, data: bytes) -> None:
        """Append bytes."""
        view = memoryview(data)
        try:
            while view:
                written = os.write(self._fd, view)
                self.size += written
                view = view[written:]
        except OSError as cause:
            raise disk_error(cause, f"cannot write {self._what}", self._layout.root) from cause

    def commit(self, digest: str, *, durable: bool = True) -> None:
        """Put the blob in its place; the caller has checked that its bytes have ``digest``.

        ``durable``: it survives a power cut; without, the caller sees to it (``unwritten``).
        """
        try:
            if durable:
                os.fsync(self._fd)
            target = self._layout.own_path(digest)
            if not digest.startswith("sha256:"):
                os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            os.rename(self._path, target)
        except OSError as cause:
            raise disk_error(cause, f"cannot keep {self._what}", self._layout.root) from cause
        self._path = ""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        if self._path:
            try:
                os.unlink(self._path)
            except FileNotFoundError:
                pass


def open_layout(paths: Paths) -> Layout:
    """Return the user's image store; it reads blobs of the additional stores as if they were here."""
    return Layout(paths.image, f"{paths.locks}/image.lock", tuple(f"{store}/image" for store in paths.additional))


def additional_layouts(paths: Paths) -> tuple[tuple[str, Layout], ...]:
    """Return the read-only stores of others, each with its layout."""
    return tuple((store, Layout(f"{store}/image", "")) for store in paths.additional)


def user_layout(paths: Paths) -> Layout:
    """Return the user's image store, made if it is not there (for writers)."""
    paths.prepare()
    layout = open_layout(paths)
    layout.prepare()
    return layout
