"""``system check``: every blob hashed anew, every layer compared with what its blob unpacks to, and mended.

Repair never invents: a damaged blob is removed (a pull brings it back), a damaged layer is replaced by the fresh
unpacking it was compared with, an index that can't be read is made anew from the manifests that are here.
"""

from __future__ import annotations

import os
import time

from rootless_pod import jsontext
from rootless_pod.errors import Conflict, Corrupt, RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.image.install import plan_layers, store_use_lock
from rootless_pod.image.layers import LayerTask, LowerDirs
from rootless_pod.image.layout import IMAGE_ID, IndexEntry, Layout, open_layout
from rootless_pod.image.leftovers import is_old, later, leftovers, names_in
from rootless_pod.image.lookup import drop_record
from rootless_pod.image.source import VerifiedBlob
from rootless_pod.linux.tree import remove_tree
from rootless_pod.oci.descriptor import Descriptor
from rootless_pod.oci.image import parse_config
from rootless_pod.oci.manifest import parse_manifest
from rootless_pod.oci.mediatype import is_index
from rootless_pod.storage.compress import open_compressed
from rootless_pod.storage.layer import LayerInfo
from rootless_pod.storage.store import Store
from rootless_pod.storage.unpack import unpack_layer
from rootless_pod.storage.verify import differences

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

    from rootless_pod.paths import Paths

DAMAGE, LEFTOVER, WARNING = "damage", "leftover", "warning"


class Finding(Frozen):
    """One thing that is wrong (``damage``), or lies about after a killed command (``leftover``)."""

    severity: str
    kind: str
    name: str
    text: str
    remedy: str = ""
    repaired: bool = False


class CheckRequest(Frozen):
    """``quick`` leaves contents unread; ``busy`` are layers of running containers, which repair must not replace.

    ``age_seconds``: unused layers and blobs younger than this may belong to a pull and are not mentioned.
    """

    quick: bool = False
    repair: bool = False
    busy: AbstractSet[str] = frozenset()
    age_seconds: float = 24 * 3600.0


class Check:
    """One pass over the store."""

    def __init__(self, paths: Paths, request: CheckRequest) -> None:
        """Look at nothing yet."""
        self._paths = paths
        self._request = request
        self._layout: Layout = open_layout(paths)
        self._store = Store(paths)
        self._seen: dict[str, str] = {}
        self._layers: set[str] = set()
        self.findings: list[Finding] = []

    def run(self) -> list[Finding]:
        """Check, and repair where that was asked; return what was found.

        Raises:
            Conflict: repair was asked while another rpod adds an image.
        """
        lock = store_use_lock(self._paths, shared=not self._request.repair)
        if not lock.acquire(wait=not self._request.repair):
            raise Conflict("another rpod is adding an image", remedy="repair when it is done")
        try:
            for entry in self._entries():
                self._image(entry)
            self._other_layers()
            self._leftovers()
        finally:
            lock.release()
        return self.findings

    def _say(
        self,
        severity: str,
        kind: str,
        name: str,
        text: str,
        *,
        remedy: str = "",
        mend: Callable[[], None] | None = None,
    ) -> bool:
        """Add a finding, mended if it can be; return whether it was."""
        repaired = False
        if mend is not None and self._request.repair:
            try:
                mend()
                repaired = True
            except (OSError, RpodError) as failure:
                text = f"{text}; repair failed: {failure}"
        self.findings.append(
            Finding(severity=severity, kind=kind, name=name, text=text, remedy=remedy, repaired=repaired)
        )
        return repaired

    def _entries(self) -> tuple[IndexEntry, ...]:
        try:
            return self._layout.entries()
        except Corrupt as fault:
            self._say(
                DAMAGE, "index", "index.json", fault.message, remedy="rpod system check --repair", mend=self._renew
            )
        return self._layout.entries() if self._request.repair else ()

    def _renew(self) -> None:
        """Move the broken index aside and list every whole manifest that is here, without a name."""
        path = f"{self._layout.root}/index.json"
        os.rename(path, f"{path}.damaged-{time.strftime('%Y%m%d%H%M%S')}")
        found = list(self._manifests())
        self._layout.update(lambda _entries: found)

    def _manifests(self) -> Iterator[IndexEntry]:
        directory = f"{self._layout.root}/blobs/sha256"
        for name in sorted(os.listdir(directory)):
            if os.path.getsize(f"{directory}/{name}") > 4 << 20:
                continue
            try:
                data = self._layout.read_blob(f"sha256:{name}")
                manifest = parse_manifest(data)
            except (RpodError, ValueError):
                continue
            if self._layout.has_blob(manifest.config.digest, manifest.config.size):
                annotations = {IMAGE_ID: manifest.config.hex}
                yield IndexEntry(
                    digest=f"sha256:{name}", media_type=manifest.media_type, size=len(data), annotations=annotations
                )

    def _image(self, entry: IndexEntry) -> None:
        shown = entry.name or entry.digest
        remedy = f"rpod pull {entry.name}" if entry.name else "rpod system check --repair --force"
        try:
            data = self._document(entry.digest)
            if is_index(entry.media_type):
                self._index(shown, data)
                return
            self._manifest(shown, data)
        except _Damaged as damage:
            self._say(DAMAGE, "image", shown, damage.args[0], remedy=remedy)
            if self._request.repair:
                drop_record(self._paths, entry.digest)
        if entry.twin_digest:
            self._twin(entry)

    def _index(self, shown: str, data: bytes) -> None:
        for row in jsontext.loads(data).get("manifests") or ():
            digest = str(row.get("digest"))
            # A list may name images of other platforms that nobody brought here.
            if self._layout.has_blob(digest):
                self._manifest(f"{shown} ({digest[:19]})", self._document(digest), partial=True)

    def _twin(self, entry: IndexEntry) -> None:
        try:
            self._document(entry.twin_digest)
        except _Damaged as damage:
            self._say(DAMAGE, "blob", entry.twin_digest, damage.args[0], remedy="pull the image again")

    def _document(self, digest: str) -> bytes:
        """Return a manifest or config whose digest is right; a damaged one is removed when repairing."""
        try:
            data = self._layout.read_blob(digest)
        except RpodError as fault:
            if isinstance(fault, Corrupt):
                self._drop_blob(digest, fault.message)
            raise _Damaged(fault.message) from fault
        self._seen[digest] = ""
        return data

    def _drop_blob(self, digest: str, text: str) -> None:
        if digest not in self._seen:
            self._seen[digest] = text
            path = self._layout.own_path(digest)
            self._say(DAMAGE, "blob", digest, text, remedy="rpod system check --repair", mend=lambda: os.unlink(path))

    def _manifest(self, shown: str, data: bytes, *, partial: bool = False) -> None:
        try:
            manifest = parse_manifest(data)
            artifact = bool(manifest.artifact_type)
            config_text = self._document(manifest.config.digest)
            tasks = () if artifact else plan_layers(manifest, parse_config(config_text), shown)
        except _Damaged:
            if partial:
                return
            raise
        except (RpodError, ValueError) as fault:
            raise _Damaged(str(fault)) from fault
        faults = []
        if artifact:
            faults = [words for words in map(self._blob, manifest.layers) if words]
        for task in tasks:
            self._layers.add(task.chain_id)
            words = self._layer(task)
            if words and not (partial and not os.path.exists(self._layout.blob_path(task.descriptor.digest))):
                faults.append(words)
        if faults:
            raise _Damaged("; ".join(dict.fromkeys(faults)))

    def _blob(self, descriptor: Descriptor) -> str:
        """Return what is wrong with a blob, or ""."""
        known = self._seen.get(descriptor.digest)
        if known is not None:
            return known
        path = self._layout.blob_path(descriptor.digest)
        try:
            size = os.stat(path).st_size
        except OSError:
            self._seen[descriptor.digest] = f"blob {descriptor.digest} is missing"
            return self._seen[descriptor.digest]
        fault = ""
        if size != descriptor.size:
            fault = f"blob {descriptor.digest} has {size} bytes, not {descriptor.size}"
        elif not self._request.quick and path == self._layout.own_path(descriptor.digest):
            fault = self._hash(descriptor, path)
        if fault:
            self._drop_blob(descriptor.digest, fault)
        self._seen[descriptor.digest] = fault
        return fault

    @staticmethod
    def _hash(descriptor: Descriptor, path: str) -> str:
        try:
            with open(path, "rb", buffering=0) as file:
                VerifiedBlob(file, descriptor).finish()
        except Corrupt:
            return f"blob {descriptor.digest} is damaged"
        except OSError as cause:
            return f"blob {descriptor.digest} can't be read: {cause.strerror}"
        return ""

    def _layer(self, task: LayerTask) -> str:
        """Check one layer's blob and tree; return what is wrong with the blob."""
        key = f"layer {task.chain_id}"
        if key in self._seen:
            return self._seen[key]
        fault = self._seen[key] = self._blob(task.descriptor)
        if not os.path.isdir(self._store.layer_dir(task.chain_id)) or self._store.is_foreign(task.chain_id):
            return fault  # unpacked when it is needed, or another's to look after
        try:
            info = self._store.layer_info(task.chain_id)
            if not os.path.isdir(self._store.layer_path(task.chain_id)):
                raise Corrupt("its tree is missing")
            if info.chain_id != task.chain_id or info.diff_id != task.diff_id:
                raise Corrupt("its record is that of another layer")
        except RpodError as broken:
            self._broken_layer(task.chain_id, broken.message)
            return fault
        if not fault and not self._request.quick:
            self._compare(task, info)
        return fault

    def _broken_layer(self, chain_id: str, text: str) -> None:
        """Take away a layer that can't be used; it is unpacked again when it is needed."""

        def take_away() -> None:
            self._require_idle(chain_id)
            remove_tree(self._store.move_to_trash(self._store.layer_dir(chain_id)))

        self._say(DAMAGE, "layer", chain_id, text, remedy="rpod system check --repair", mend=take_away)

    def _require_idle(self, chain_id: str) -> None:
        if chain_id in self._request.busy:
            raise Conflict("a running container uses it: stop it first")

    def _compare(self, task: LayerTask, info: LayerInfo) -> None:
        with self._store.staging() as staging:
            try:
                with open(self._layout.blob_path(task.descriptor.digest), "rb", buffering=0) as file:
                    result = unpack_layer(
                        open_compressed(file, task.descriptor.media_type),
                        staging.diff,
                        single_id=info.single_id,
                        lower_dirs=LowerDirs.below(self._store, task.below) if self._has_all(task.below) else (),
                    )
                faults = differences(staging.diff, self._store.layer_path(task.chain_id))
            except (RpodError, OSError) as failure:
                self._say(DAMAGE, "layer", task.chain_id, f"cannot be unpacked again: {failure}")
                return
            if result.diff_id != task.diff_id:
                self._say(DAMAGE, "layer", task.chain_id, f"its blob unpacks to {result.diff_id}, not {task.diff_id}")
                return
            if not faults:
                return

            def replace() -> None:
                self._require_idle(task.chain_id)
                trash = self._store.move_to_trash(self._store.layer_dir(task.chain_id))
                staging.commit(task.chain_id, info)
                remove_tree(trash)

            text = "differs from its blob: " + "; ".join(faults[:3]) + (" …" if len(faults) > 3 else "")
            self._say(DAMAGE, "layer", task.chain_id, text, remedy="rpod system check --repair", mend=replace)

    def _has_all(self, chain_ids: tuple[str, ...]) -> bool:
        return all(self._store.has_layer(chain) for chain in chain_ids)

    def _other_layers(self) -> None:
        """Look at layers no image names: broken ones are damage, whole ones the next prune takes."""
        for name in names_in(self._store.root):
            if name.startswith(".") or name in self._layers:
                continue
            try:
                self._store.layer_info(name)
                whole = os.path.isdir(self._store.layer_path(name))
            except RpodError:
                whole = False
            directory = self._store.layer_dir(name)
            if not whole:
                self._broken_layer(name, "is not whole")
            elif is_old(directory, self._request.age_seconds):
                self._say(LEFTOVER, "layer", name, "no image needs it", remedy="rpod image prune", mend=later)

    def _leftovers(self) -> None:
        for one in leftovers(self._paths, self._layout, self._store, age_seconds=self._request.age_seconds):
            self._say(LEFTOVER, one.kind, one.name, one.text, mend=one.mend)


class _Damaged(Exception):
    """An image is not whole; the argument says why."""


def drop_broken_images(paths: Paths, findings: list[Finding]) -> list[str]:
    """Remove the images that ``findings`` call damaged and that a pull has to bring again; return their names."""
    broken = {one.name for one in findings if one.kind == "image"}
    layout = open_layout(paths)
    gone = {entry.digest for entry in layout.entries() if (entry.name or entry.digest) in broken}
    layout.update(lambda entries: [entry for entry in entries if entry.digest not in gone])
    for digest in gone:
        drop_record(paths, digest)
    return sorted(broken)
