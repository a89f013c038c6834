"""Move images from any source to any destination without unpacking them; digests stay where nothing must change."""

from __future__ import annotations

from rootless_pod import log
from rootless_pod.errors import Corrupt, Refused
from rootless_pod.frozen import Frozen
from rootless_pod.image.convert import OCI_TYPES, to_docker, to_oci
from rootless_pod.image.destination import CheckedReader, ManifestRejected
from rootless_pod.image.install import Resolved, resolve
from rootless_pod.image.parallel import run_all
from rootless_pod.image.progress import Progress, SilentProgress
from rootless_pod.image.recompress import CHUNKED, Compression, check_target, recompress
from rootless_pod.image.source import read_small
from rootless_pod.oci import mediatype
from rootless_pod.oci.descriptor import Descriptor
from rootless_pod.oci.digest import of_bytes
from rootless_pod.oci.manifest import (
    detect_media_type,
    format_index,
    format_manifest,
    parse_index,
    parse_manifest,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.image.destination import ImageDestination
    from rootless_pod.image.recompress import Spooled
    from rootless_pod.image.sign import ImageSigner
    from rootless_pod.image.source import BlobReader, ImageSource
    from rootless_pod.oci.manifest import Index, Manifest

FORMATS = ("oci", "v2s2", "v2s1")


class TransferOptions(Frozen):
    """What to move and what to change: ``manifest_format`` is one of FORMATS or "" (as it is).

    ``packs``: plain layers are compressed where the destination is one that others fetch from.
    """

    all_platforms: bool = False
    platform: str | None = None
    manifest_format: str = ""
    compression: Compression = Compression()
    preserve_digests: bool = False
    packs: bool = False


class Transferred(Frozen):
    """What arrived: the digest of the manifest (or index) at the destination, and that it is the source's."""

    digest: str
    media_type: str
    unchanged: bool


def transfer(
    source: ImageSource,
    destination: ImageDestination,
    options: TransferOptions,
    progress: Progress | None = None,
    check: Callable[[Resolved], object] | None = None,
    signer: ImageSigner | None = None,
) -> Transferred:
    """Move one image, or with ``all_platforms`` a list and all it names; the caller enters the destination.

    Blobs come first, manifests next, the name last: after a failure the destination's name points at what it did.
    ``check`` judges each manifest before anything of it is sent, and raises to refuse.
    ``signer`` is told each manifest's digest there, and whether it gets the name, before it is put: who asks for a
    signature never finds the name without one.

    Raises:
        Corrupt: a blob or document of the source is not what it claims to be.
        Refused: the destination does not take it, or digests were to stay and can't.
    """
    progress = progress or SilentProgress()
    check_options(options, destination)
    move = _Move(source, destination, options, progress, signer)
    judge = check or _accept
    with progress:
        if options.all_platforms:
            data, claimed = source.manifest()
            media_type = detect_media_type(data, claimed or None)
            if mediatype.is_index(media_type):
                done = move.index(data, media_type, judge)
            else:
                manifest = parse_manifest(data, media_type)
                judge(Resolved(data=data, digest=of_bytes(data), manifest=manifest))
                done = move.image(data, manifest, top=True)
        else:
            chosen = resolve(source, options.platform)
            judge(chosen)
            done = move.image(chosen.data, chosen.manifest, top=True)
        destination.commit()
    return Transferred(digest=done.digest, media_type=done.media_type, unchanged=move.unchanged)


def check_options(options: TransferOptions, destination: ImageDestination) -> None:
    """Look whether the destination can be what is asked for; it need not be entered yet.

    Raises:
        Usage, Refused: it can't.
    """
    options.compression.check()
    check_target(options.compression.kind, options.manifest_format)
    if options.manifest_format == "v2s1" and destination.schema1_name is None:
        raise Refused(
            f"{destination.shown} holds no manifests of Docker schema 1", remedy="push to a registry, or give v2s2"
        )


def _accept(_resolved: Resolved) -> None:
    pass


class _Move:
    """One transfer."""

    def __init__(
        self,
        source: ImageSource,
        destination: ImageDestination,
        options: TransferOptions,
        progress: Progress,
        signer: ImageSigner | None,
    ) -> None:
        self.source = source
        self.destination = destination
        self.options = options
        self.progress = progress
        self.signer = signer
        self.unchanged = True
        self._brought: dict[str, Descriptor] = {}

    def index(self, data: bytes, media_type: str, judge: Callable[[Resolved], object]) -> Descriptor:
        """Bring an index and its manifests; it is written anew only if one of them changed."""
        if not self.destination.takes_lists:
            raise Refused(
                f"{self.destination.shown} holds one image, {self.source.shown} is a list of several",
                remedy="leave out --all, or choose another destination",
            )
        if self.options.manifest_format == "v2s1":
            raise Refused("Docker schema 1 knows no lists", remedy="give --format v2s2, or push one image of the list")
        index = parse_index(data, media_type)
        children = [self._child(entry, of_bytes(data)) for entry in index.manifests]
        for child in children:
            judge(child)
        entries = []
        for entry, child in zip(index.manifests, children, strict=True):
            done = self.image(child.data, child.manifest, top=False)
            entries.append(entry.replace(media_type=done.media_type, digest=done.digest, size=done.size))
        wanted = {"oci": mediatype.OCI_INDEX, "v2s2": mediatype.DOCKER_LIST}.get(
            self.options.manifest_format, index.media_type
        )
        changed = index.replace(manifests=tuple(entries), media_type=wanted)
        if changed != index:
            self._changes("the list")
            data = format_index(changed)
        return self._put(data, changed, top=True)

    def _child(self, entry: Descriptor, index_digest: str) -> Resolved:
        """Read a manifest of the index (raises Corrupt)."""
        data = self.source.child_manifest(entry)
        if of_bytes(data) != entry.digest or len(data) != entry.size:
            raise Corrupt(f"{self.source.shown}: the manifest {entry.digest} has other bytes than its index says")
        media_type = detect_media_type(data, entry.media_type or None)
        if mediatype.is_index(media_type):
            raise Corrupt(f"{self.source.shown}: an index inside an index is not supported")
        manifest = parse_manifest(data, media_type)
        return Resolved(data=data, digest=entry.digest, manifest=manifest, index_digest=index_digest)

    def image(self, data: bytes, manifest: Manifest, *, top: bool) -> Descriptor:
        """Bring blobs and manifest of one image; the manifest keeps its bytes if nothing changed."""
        if self.options.preserve_digests:
            self._check_preserved(manifest)
        layers = self._bring(manifest.layers)
        if self.options.manifest_format == "v2s1":
            return self._put_schema1(manifest.replace(layers=layers))
        changed = self._formatted(manifest.replace(layers=layers) if layers != manifest.layers else manifest)
        self.progress.note(f"Copying config {manifest.config.digest}")
        self._bring((manifest.config,), SilentProgress())
        if changed != manifest:
            self._changes(f"manifest {of_bytes(data)}")
            data = format_manifest(changed)
        try:
            return self._put(data, changed, top=top)
        except ManifestRejected as fault:
            return self._put_other_kind(changed, fault, top=top)

    def _put_schema1(self, manifest: Manifest) -> Descriptor:
        """Put the image as a signed manifest of Docker schema 1, which has its config inside."""
        from io import BytesIO

        from rootless_pod.image.schema1 import EMPTY, EMPTY_LAYER, write_schema1

        name, tag = self.destination.schema1_name or ("", "")
        config = read_small(self.source, manifest.config)
        docker = self._formatted(manifest)
        made = write_schema1(docker, config, name=name, tag=tag, shown=self.source.shown)
        self._changes("the manifest")
        if made.needs_empty and not self.destination.has_blob(EMPTY):
            self.destination.put_blob(EMPTY, lambda: BytesIO(EMPTY_LAYER), lambda _sent: None)
        done = Descriptor(media_type=mediatype.DOCKER_SCHEMA1_SIGNED, digest=made.digest, size=len(made.data))
        self._put_described(made.data, done, top=True)
        return done

    def _put_other_kind(self, manifest: Manifest, fault: ManifestRejected, *, top: bool) -> Descriptor:
        """Put the same image as a manifest of the other standard; raises ``fault`` where that can't be or helps not."""
        if self.options.manifest_format or manifest.artifact_type or manifest.subject is not None:
            raise fault
        try:
            if _format_of(manifest.media_type) == "oci":
                other = to_docker(manifest, self.source.shown)
            else:
                other = to_oci(manifest, self.source.shown)
        except Refused:
            raise fault from None
        self._changes(f"the manifest (the destination does not take {manifest.media_type})")
        self.progress.note(f"The destination does not take {manifest.media_type}: writing {other.media_type}")
        try:
            return self._put(format_manifest(other), other, top=top)
        except ManifestRejected:
            raise fault from None

    def _check_preserved(self, manifest: Manifest) -> None:
        """Refuse before anything is sent."""
        if self.options.manifest_format and _format_of(manifest.media_type) != self.options.manifest_format:
            self._changes("the manifest")
        if any(self._kind(layer) for layer in manifest.layers):
            self._changes("a layer")

    def _formatted(self, manifest: Manifest) -> Manifest:
        """Return the manifest in the wanted kind; one whose layers now need it becomes OCI's."""
        wanted = self.options.manifest_format or _format_of(manifest.media_type)
        if not self.options.manifest_format and any(
            one.media_type == mediatype.OCI_LAYER_ZSTD for one in manifest.layers
        ):
            wanted = "oci"
        if wanted == "v2s1":
            wanted = "v2s2"
        if wanted == _format_of(manifest.media_type) and not (wanted == "v2s2" and _has_oci_layer(manifest)):
            return manifest
        as_oci = manifest.replace(
            config=_oci_typed(manifest.config),
            layers=tuple(_oci_typed(layer) for layer in manifest.layers),
            media_type=mediatype.OCI_MANIFEST,
        )
        return as_oci if wanted == "oci" else to_docker(as_oci, self.source.shown)

    def _kind(self, layer: Descriptor) -> str:
        if self.options.preserve_digests and not self.options.compression.kind:
            return ""
        kind = self.options.compression.wanted(layer, packs=self.options.packs and self.destination.packs)
        if not kind and self.options.manifest_format in ("v2s1", "v2s2") and not mediatype.is_foreign(layer.media_type):
            # Docker's manifests know no zstd.
            return "gzip" if mediatype.layer_compression(layer.media_type) == "zstd" else ""
        return kind

    def _bring(self, blobs: tuple[Descriptor, ...], progress: Progress | None = None) -> tuple[Descriptor, ...]:
        """Bring blobs, several at once; return their descriptors at the destination."""
        todo = {one.digest: one for one in blobs if one.digest not in self._brought}
        for one in todo.values():
            if mediatype.is_foreign(one.media_type) and one.urls and self.destination.takes_urls:
                self._brought[one.digest] = one
                self.progress.finish(one.digest, "skipped: has addresses of its own")
        jobs = [one for one in todo.values() if one.digest not in self._brought]
        made = run_all(jobs, self._bring_one, workers=self.destination.workers, progress=progress or self.progress)
        self._brought.update(zip((one.digest for one in jobs), made, strict=True))
        # A blob may stand in several manifests with other annotations: only new bytes get a new descriptor.
        return tuple(
            one if self._brought[one.digest].digest == one.digest else self._brought[one.digest] for one in blobs
        )

    def _bring_one(self, blob: Descriptor, on_progress: Callable[[int], None]) -> tuple[Descriptor, str]:
        """Bring one blob; return its descriptor there and how it came (runs in a thread)."""
        kind = self._kind(blob)
        if not kind:
            outcome = self.destination.has_blob(blob)
            if not outcome:
                self.destination.put_blob(blob, lambda: self._open(blob), on_progress)
            return blob, outcome or "done"
        spooled = self._packed(blob, kind, on_progress)
        try:
            outcome = self.destination.has_blob(spooled.descriptor)
            if not outcome:
                self.destination.put_blob(spooled.descriptor, spooled.open, on_progress)
        finally:
            spooled.close()
        return spooled.descriptor, outcome or "done"

    def _packed(self, blob: Descriptor, kind: str, on_progress: Callable[[int], None]) -> Spooled:
        """Pack a layer anew; one that zstd:chunked can't tell of becomes plain zstd, which its readers take too."""
        level, spool_dir = self.options.compression.level, self.destination.spool_dir
        if kind != CHUNKED:
            return recompress(self._open(blob), blob, kind, level, spool_dir=spool_dir, on_progress=on_progress)
        from rootless_pod.storage.chunked import NotChunkable

        try:
            return recompress(self._open(blob), blob, kind, level, spool_dir=spool_dir, on_progress=on_progress)
        except NotChunkable as reason:
            log.warn(f"layer {blob.digest} is packed as plain zstd: {reason}")
            return recompress(self._open(blob), blob, "zstd", level, spool_dir=spool_dir, on_progress=on_progress)

    def _open(self, blob: Descriptor) -> BlobReader:
        reader = self.source.blob(blob)
        return CheckedReader(reader, blob)

    def _changes(self, what: str) -> None:
        """Note that a digest does not stay (raises Refused where it must)."""
        self.unchanged = False
        if self.options.preserve_digests:
            raise Refused(
                f"{self.source.shown}: the digest of {what} would change",
                remedy="leave out --preserve-digests, or the options that change format or compression",
            )

    def _put(self, data: bytes, document: Manifest | Index, *, top: bool) -> Descriptor:
        done = Descriptor(
            media_type=document.media_type,
            digest=of_bytes(data),
            size=len(data),
            annotations=document.annotations,
            artifact_type=_artifact_type(document),
        )
        self._put_described(data, done, top=top)
        return done

    def _put_described(self, data: bytes, done: Descriptor, *, top: bool) -> None:
        if self.signer is not None:
            self.progress.note(f"Signing manifest {done.digest}")
            self.signer.sign(done.digest, top=top)
        if top:
            self.progress.note("Writing manifest to image destination")
        self.destination.put_manifest(data, done, top=top)


def _artifact_type(document: Manifest | Index) -> str | None:
    """Return what the referrers of a subject list as the type. Source: distribution-spec 1.1."""
    if document.artifact_type:
        return document.artifact_type
    config: Descriptor | None = getattr(document, "config", None)
    return config.media_type if config is not None and config.media_type not in mediatype.CONFIGS else None


def _format_of(media_type: str) -> str:
    return "v2s2" if media_type == mediatype.DOCKER_MANIFEST else "oci"


def _has_oci_layer(manifest: Manifest) -> bool:
    return any(layer.media_type in (mediatype.OCI_LAYER_GZIP, mediatype.OCI_LAYER_ZSTD) for layer in manifest.layers)


def _oci_typed(blob: Descriptor) -> Descriptor:
    return blob.replace(media_type=OCI_TYPES.get(blob.media_type, blob.media_type))
