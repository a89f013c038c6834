"""Put an image from any source into the store: manifest, config, layers, and last its name."""

from __future__ import annotations

import os

from rootless_pod.errors import Corrupt, Refused, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.image.convert import to_oci
from rootless_pod.image.layers import LayerTask, bring_layers, missing_of
from rootless_pod.image.layout import IMAGE_ID, PULLED_DIGEST, TRUST, IndexEntry, user_layout
from rootless_pod.image.lookup import read_image
from rootless_pod.image.progress import Progress, SilentProgress
from rootless_pod.image.source import read_small
from rootless_pod.image.unwritten import Unwritten
from rootless_pod.oci.digest import of_bytes
from rootless_pod.oci.image import parse_config
from rootless_pod.oci.manifest import (
    choose_manifest,
    detect_media_type,
    format_manifest,
    parse_index,
    parse_manifest,
)
from rootless_pod.oci.mediatype import LAYERS, OCI_MANIFEST, is_index
from rootless_pod.oci.platform import host_platform, parse_platform
from rootless_pod.state.lock import Lock
from rootless_pod.storage.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.image.layout import Layout
    from rootless_pod.image.source import BlobReader, ImageSource
    from rootless_pod.image.trust.verdict import Verdict
    from rootless_pod.oci.descriptor import Descriptor
    from rootless_pod.oci.image import Image, ImageConfig
    from rootless_pod.oci.manifest import Manifest
    from rootless_pod.paths import Paths


LAYERS_MAX = 500
"""What overlayfs stacks at most. Source: Linux fs/overlayfs/params.h, OVL_MAX_STACK."""


class Resolved(Frozen):
    """The one manifest chosen from a source."""

    data: bytes
    digest: str
    manifest: Manifest
    index_digest: str | None = None


def store_use_lock(paths: Paths, *, shared: bool = True) -> Lock:
    """Return the lock that whoever adds blobs holds shared, and whoever removes unreferenced ones alone."""
    return Lock(f"{paths.locks}/image-use.lock", shared=shared)


def resolve(source: ImageSource, platform: str | None) -> Resolved:
    """Read the source's manifest; of an index, that of the wanted platform (None: this machine's).

    Raises:
        NotFound: no manifest for the platform.
        Corrupt: a document is not what it claims to be, or is of Docker schema 1.
    """
    data, claimed = source.manifest()
    index_digest = None
    media_type = detect_media_type(data, claimed or None)
    if is_index(media_type):
        index_digest = of_bytes(data)
        wanted = parse_platform(platform) if platform else host_platform()
        chosen = choose_manifest(parse_index(data, media_type), wanted)
        data = source.child_manifest(chosen)
        if of_bytes(data) != chosen.digest or len(data) != chosen.size:
            raise Corrupt(f"{source.shown}: the manifest {chosen.digest} has other bytes than its index says")
        media_type = detect_media_type(data, chosen.media_type or None)
        if is_index(media_type):
            raise Corrupt(f"{source.shown}: an index inside an index is not supported")
    return Resolved(
        data=data, digest=of_bytes(data), manifest=parse_manifest(data, media_type), index_digest=index_digest
    )


def install(
    paths: Paths,
    source: ImageSource,
    *,
    names: tuple[str, ...],
    platform: str | None = None,
    single_id: bool,
    progress: Progress | None = None,
    resolved: Resolved | None = None,
    verdict: Verdict | None = None,
) -> Image:
    """Bring an image here and give it ``names`` (full references); without names it is listed without one.

    ``verdict`` is the trust policy's word on the image, kept beside each name.
    The name appears last: after a failure or a kill no name points at something incomplete.

    Raises:
        Corrupt: a blob, size, digest or document is wrong.
        Refused: it is an artifact, not an image.
        HostUnready: the disk is full or not writable.
    """
    progress = progress or SilentProgress()
    layout, store = user_layout(paths), Store(paths)
    with store_use_lock(paths):
        layout.sweep()
        store.sweep()
        resolved = resolved or resolve(source, platform)
        manifest = resolved.manifest
        _refuse_artifact(source, manifest)
        config_text = _config(layout, source, manifest)
        config = parse_config(config_text)
        tasks = plan_layers(manifest, config, source.shown)
        missing = missing_of(layout, store, tasks, single_id=single_id)
        with Unwritten(paths, missing, (manifest.config.digest, resolved.digest)) as note:
            with progress:
                bring_layers(paths, source, tasks, single_id=single_id, progress=progress)
                layout.write_blob(config_text, durable=note.durable)
                progress.note(f"Copying config {manifest.config.digest}")
                layout.write_blob(resolved.data, durable=note.durable)
                progress.note("Writing manifest to image destination")
            return name_image(paths, layout, resolved, names, verdict)


def _config(layout: Layout, source: ImageSource, manifest: Manifest) -> bytes:
    if layout.has_blob(manifest.config.digest, manifest.config.size):
        try:
            return layout.read_blob(manifest.config.digest)
        except Corrupt:
            if layout.blob_path(manifest.config.digest) != layout.own_path(manifest.config.digest):
                raise  # it is another's
            os.unlink(layout.own_path(manifest.config.digest))
    return read_small(source, manifest.config)


def _refuse_artifact(source: ImageSource, manifest: Manifest) -> None:
    strange = [layer.media_type for layer in manifest.layers if layer.media_type not in LAYERS]
    if manifest.artifact_type or strange:
        kind = manifest.artifact_type or strange[0] or "no media type"
        raise Refused(f"{source.shown} is an artifact ({kind}), not a container image")


def plan_layers(manifest: Manifest, config: ImageConfig, shown: str) -> tuple[LayerTask, ...]:
    """Join the manifest's layers with the config's diff ids.

    Raises:
        Corrupt: there are not as many of one as of the other.
        Refused: there are more than any driver can mount.
    """
    if len(manifest.layers) > LAYERS_MAX:
        raise Refused(
            f"{shown} has {len(manifest.layers)} layers, and at most {LAYERS_MAX} can be mounted over each other",
            remedy="ask the image's publisher for one with fewer layers",
        )
    if len(manifest.layers) != len(config.diff_ids):
        raise Corrupt(
            f"{shown}: the manifest has {len(manifest.layers)} layers, the config {len(config.diff_ids)} diff ids",
            remedy="build or export the image anew",
        )
    chains = config.chain_ids()
    return tuple(
        LayerTask(descriptor=layer, diff_id=diff_id, chain_id=chain, below=chains[:position])
        for position, (layer, diff_id, chain) in enumerate(zip(manifest.layers, config.diff_ids, chains, strict=True))
    )


def name_image(
    paths: Paths, layout: Layout, resolved: Resolved, names: tuple[str, ...], verdict: Verdict | None = None
) -> Image:
    """Point ``names`` at a manifest whose blobs are all here; a name that was another image's leaves that one bare."""
    annotations = {IMAGE_ID: resolved.manifest.config.hex}
    if resolved.index_digest:
        annotations[PULLED_DIGEST] = resolved.index_digest
    if verdict is not None:
        annotations[TRUST] = verdict.to_text()
    twin = _oci_twin(resolved.manifest)
    plain = IndexEntry(
        digest=resolved.digest,
        media_type=resolved.manifest.media_type,
        size=len(resolved.data),
        annotations=annotations,
        twin_digest=layout.write_blob(twin) if twin else "",
        twin_size=len(twin),
    )

    def change(entries: list[IndexEntry]) -> list[IndexEntry]:
        return put_names(entries, plain, names)

    layout.update(change)
    entries = layout.entries()
    own = next(entry for entry in (*entries, plain) if entry.digest == resolved.digest)
    return read_image(paths, layout, own, entries)


def list_bare(paths: Paths, image: Image) -> None:
    """List an image that only a manifest list leads to, without a name: containers are about to stand on it."""
    layout = user_layout(paths)
    if any(entry.digest == image.manifest_digest for entry in layout.entries()):
        return
    data = layout.read_blob(image.manifest_digest)
    resolved = Resolved(data=data, digest=image.manifest_digest, manifest=parse_manifest(data))
    with store_use_lock(paths):
        name_image(paths, layout, resolved, ())


def _oci_twin(manifest: Manifest) -> bytes:
    """Return the OCI manifest other tools shall see for a Docker one; nothing where none is needed or possible."""
    if manifest.media_type == OCI_MANIFEST:
        return b""
    try:
        return format_manifest(to_oci(manifest, manifest.config.digest))
    except Refused:
        return b""


def put_names(entries: list[IndexEntry], plain: IndexEntry, names: tuple[str, ...]) -> list[IndexEntry]:
    """Return ``entries`` with ``names`` pointing at ``plain``; every manifest stays listed at least once."""
    kept = []
    listed = {plain.digest}
    for entry in entries:
        if entry.name in names and entry.name is not None and entry.digest != plain.digest:
            if any(other.digest == entry.digest and other.name not in names for other in entries):
                continue
            if entry.digest in listed:
                continue
            listed.add(entry.digest)
            kept.append(entry.replace(name=None))
        elif entry.digest == plain.digest and (entry.name is None or entry.name in names):
            continue
        else:
            kept.append(entry)
    if names:
        kept += [plain.replace(name=name) for name in names]
    elif not any(entry.digest == plain.digest for entry in kept):
        kept.append(plain)
    return kept


class StoredSource:
    """The image store itself as a source: for layers that must be unpacked again."""

    def __init__(self, layout: Layout, shown: str) -> None:
        """Read from ``layout``."""
        self._layout = layout
        self.shown = shown

    def manifest(self) -> tuple[bytes, str]:
        """Not asked for: the manifest is known."""
        raise Usage(f"{self.shown} is in the store already")

    def child_manifest(self, descriptor: Descriptor) -> bytes:
        """Return a stored manifest."""
        return self._layout.read_blob(descriptor.digest)

    def blob(self, descriptor: Descriptor) -> BlobReader:
        """Say that the blob is gone (``bring_layers`` reads the ones that are here by itself)."""
        raise Corrupt(
            f"{self.shown}: blob {descriptor.digest} is missing from the image store", remedy="pull the image again"
        )


def unpack_missing(paths: Paths, image: Image, *, single_id: bool) -> None:
    """Unpack those layers of a stored image that are not in the layer store, or were unpacked with one id only.

    Raises:
        Corrupt: a blob is missing or damaged.
    """
    layout = user_layout(paths)
    manifest = parse_manifest(layout.read_blob(image.manifest_digest))
    tasks = plan_layers(manifest, image.config, image.id[:12])
    store = Store(paths)
    missing = tuple(
        task
        for task in tasks
        if not store.has_layer(task.chain_id)
        or (store.is_poor(task.chain_id, single_id=single_id) and layout.has_blob(task.descriptor.digest))
    )
    with store_use_lock(paths):
        source = StoredSource(layout, image.id[:12])
        with Unwritten(paths, missing):
            bring_layers(paths, source, missing, single_id=single_id, progress=SilentProgress())
