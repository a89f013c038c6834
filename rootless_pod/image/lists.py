"""Lists of manifests made here: an index in the store under a name, its manifests and their blobs beside it."""

from __future__ import annotations

from rootless_pod.errors import Conflict, NotFound, Refused, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.image.install import Resolved, resolve, store_use_lock
from rootless_pod.image.layout import IndexEntry, Layout, disk_error, open_layout, user_layout
from rootless_pod.image.lookup import find_kept, lookup_named
from rootless_pod.image.source import VerifiedBlob
from rootless_pod.oci.descriptor import Descriptor
from rootless_pod.oci.digest import of_bytes
from rootless_pod.oci.image import parse_config
from rootless_pod.oci.manifest import (
    Index,
    detect_media_type,
    format_index,
    parse_index,
    parse_manifest,
)
from rootless_pod.oci.mediatype import CONFIGS, is_index
from rootless_pod.oci.platform import Platform
from rootless_pod.oci.reference import parse_reference, parse_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.image.ends import OpenedSource
    from rootless_pod.image.push import CopyOptions
    from rootless_pod.image.registry.connect import Access
    from rootless_pod.image.source import ImageSource
    from rootless_pod.image.transfer import Transferred
    from rootless_pod.oci.manifest import Manifest
    from rootless_pod.paths import Paths


class Marks(Frozen):
    """What an entry of a list says beyond the manifest's digest; "" and () leave what there is."""

    os: str = ""
    architecture: str = ""
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()

    def on(self, entry: Descriptor) -> Descriptor:
        """Return ``entry`` with these marks."""
        old = entry.platform or Platform(os="", architecture="")
        platform = Platform(
            os=self.os or old.os,
            architecture=self.architecture or old.architecture,
            variant=self.variant or old.variant,
            os_version=self.os_version or old.os_version,
            os_features=self.os_features or old.os_features,
        )
        return entry.replace(
            platform=platform if platform.os or platform.architecture else None,
            annotations={**entry.annotations, **dict(self.annotations)},
        )


def read_list(paths: Paths, text: str) -> tuple[IndexEntry, Index]:
    """Return a list and its entry in the store.

    Raises:
        NotFound: there is no list of this name.
    """
    kept = find_kept(paths, text)
    if kept is None or not kept.is_list:
        raise NotFound(f"{text} is not a manifest list here", remedy=f"run: rpod manifest create {text}", exit_code=125)
    return kept, parse_index(open_layout(paths).read_blob(kept.digest), kept.media_type)


def _write(layout: Layout, index: Index, name: str | None) -> IndexEntry:
    data = format_index(index)
    return IndexEntry(digest=layout.write_blob(data), media_type=index.media_type, size=len(data), name=name)


def create_list(paths: Paths, name: str, *, amend: bool = False) -> str:
    """Make an empty list (``amend``: or take the one there is) and return its digest.

    Raises:
        Conflict: the name is taken.
        Usage: a bad name.
    """
    full = str(parse_reference(name, default_registry="localhost"))
    layout = user_layout(paths)
    made: list[str] = []

    def change(entries: list[IndexEntry]) -> list[IndexEntry]:
        taken = next((entry for entry in entries if entry.name == full), None)
        if taken is not None and not (amend and taken.is_list):
            raise Conflict(f"name {full} is in use", remedy="use another name, or --amend for a list")
        entry = taken or _write(layout, Index(manifests=()), full)
        made.append(entry.digest)
        return entries if taken is not None else [*entries, entry]

    with store_use_lock(paths):
        layout.update(change)
    return made[0]


def change_list(paths: Paths, text: str, change: Callable[[Index], Index]) -> str:
    """Replace a list by ``change(list)`` under all its names and return its new digest.

    Raises:
        NotFound: there is no such list.
    """
    kept, _index = read_list(paths, text)
    layout = user_layout(paths)
    made: list[str] = []

    def replace(entries: list[IndexEntry]) -> list[IndexEntry]:
        # Another command may have changed the list meanwhile: what counts is what the name means now.
        now = next((one for one in entries if one.is_list and one.name == kept.name), None)
        if now is None or (kept.name is None and now.digest != kept.digest):
            raise NotFound(f"manifest list {text} was removed meanwhile", exit_code=125)
        changed = change(parse_index(layout.read_blob(now.digest), now.media_type))
        new = _write(layout, changed, None)
        made.append(new.digest)
        return [new.replace(name=one.name) if one.digest == now.digest else one for one in entries]

    with store_use_lock(paths):
        layout.update(replace)
    return made[0]


def add_to_list(
    paths: Paths,
    text: str,
    image: str,
    marks: Marks,
    *,
    access: Access,
    every: bool = False,
) -> str:
    """Add an image of the store, a registry, an archive or a directory; return the list's new digest.

    The image's blobs come into the store too, so that the list can be pushed from here. ``every`` takes all
    manifests of a list, otherwise the one for this machine.

    Raises:
        NotFound: no such list or image.
    """
    read_list(paths, text)
    opened = _open(paths, image, access)
    try:
        with store_use_lock(paths):
            entries = [marks.on(entry) for entry in _bring(user_layout(paths), opened, every=every)]

            def change(index: Index) -> Index:
                new = {entry.digest for entry in entries}
                return index.replace(manifests=(*(one for one in index.manifests if one.digest not in new), *entries))

            return change_list(paths, text, change)
    finally:
        opened.close()


def _open(paths: Paths, image: str, access: Access) -> OpenedSource:
    from rootless_pod.image.ends import local_source, open_source

    source = parse_source(image)
    if not source.transport:
        kept = find_kept(paths, image)
        if kept is not None:
            return _kept_source(paths, kept, image)
        try:
            return local_source(paths, image)
        except NotFound:
            source = source.replace(transport="docker")
    return open_source(paths, source, access)


def _kept_source(paths: Paths, kept: IndexEntry, shown: str) -> OpenedSource:
    from rootless_pod.image.ends import OpenedSource
    from rootless_pod.image.stored import LocalSource

    source = LocalSource(open_layout(paths), kept.digest, kept.name or shown)
    names = (kept.name,) if kept.name else ()
    return OpenedSource(source=source, names=names, close=lambda: None, check=lambda _resolved: None)


def _bring(layout: Layout, opened: OpenedSource, *, every: bool) -> list[Descriptor]:
    """Bring the manifests and all their blobs here and return the manifests' descriptors, platforms included."""
    source = opened.source
    data, claimed = source.manifest()
    media_type = detect_media_type(data, claimed or None)
    if not (every and is_index(media_type)):
        chosen = resolve(source, None)
        return [_bring_manifest(layout, opened, chosen)]
    found = []
    for entry in parse_index(data, media_type).manifests:
        child = source.child_manifest(entry)
        if of_bytes(child) != entry.digest:
            raise Refused(f"{source.shown}: the manifest {entry.digest} has other bytes than its list says")
        manifest = parse_manifest(child, entry.media_type or None)
        made = _bring_manifest(layout, opened, Resolved(data=child, digest=entry.digest, manifest=manifest))
        found.append(made.replace(platform=entry.platform or made.platform, annotations=entry.annotations))
    return found


def _bring_manifest(layout: Layout, opened: OpenedSource, resolved: Resolved) -> Descriptor:
    opened.check(resolved)
    manifest = resolved.manifest
    bring_blobs(layout, opened.source, (manifest.config, *manifest.layers))
    layout.write_blob(resolved.data)
    return Descriptor(
        media_type=manifest.media_type,
        digest=resolved.digest,
        size=len(resolved.data),
        platform=_platform(layout, manifest),
        artifact_type=manifest.artifact_type,
    )


def _platform(layout: Layout, manifest: Manifest) -> Platform | None:
    if manifest.config.media_type not in CONFIGS:
        return None
    config = parse_config(layout.read_blob(manifest.config.digest))
    return Platform(os=config.os, architecture=config.architecture, variant=config.variant)


def bring_blobs(layout: Layout, source: ImageSource, blobs: tuple[Descriptor, ...]) -> None:
    """Bring blobs here, verified; those that are here are not fetched (the caller holds the store's use lock)."""
    for blob in blobs:
        if layout.has_blob(blob.digest, blob.size):
            continue
        reader = source.blob(blob)
        try:
            with layout.new_blob(f"blob {blob.digest}") as copy:
                verified = VerifiedBlob(reader, blob)
                while data := verified.read(1 << 18):
                    copy.write(data)
                verified.finish()
                copy.commit(blob.digest)
        except OSError as cause:
            raise disk_error(cause, f"cannot keep blob {blob.digest}", layout.root) from cause
        finally:
            reader.close()


def find_in_list(paths: Paths, index: Index, text: str, shown: str) -> Descriptor:
    """Return the entry that a digest, or an image of the store, means.

    Raises:
        NotFound: the list does not have it.
    """
    wanted = text if text.startswith("sha256:") else ""
    if not wanted:
        image, _name = lookup_named(paths, text)
        wanted = image.manifest_digest
    for entry in index.manifests:
        if entry.digest == wanted:
            return entry
    raise NotFound(f"{shown} has no manifest {text}", remedy=f"see: rpod manifest inspect {shown}", exit_code=125)


def annotate_list(paths: Paths, text: str, which: str, marks: Marks) -> str:
    """Change what the list says of one manifest; return its new digest (raises NotFound)."""
    _kept, before = read_list(paths, text)
    digest = find_in_list(paths, before, which, text).digest

    def change(index: Index) -> Index:
        return index.replace(manifests=tuple(marks.on(one) if one.digest == digest else one for one in index.manifests))

    return change_list(paths, text, change)


def remove_from_list(paths: Paths, text: str, which: str) -> str:
    """Take one manifest out of the list; return its new digest (raises NotFound)."""
    _kept, before = read_list(paths, text)
    digest = find_in_list(paths, before, which, text).digest
    return change_list(
        paths,
        text,
        lambda index: index.replace(manifests=tuple(one for one in index.manifests if one.digest != digest)),
    )


def push_list(paths: Paths, text: str, destination: str, options: CopyOptions) -> Transferred:
    """Push a list with all its images ("": to the registry its name says).

    Raises:
        NotFound: there is no such list.
        Usage: nothing says where to.
    """
    from rootless_pod.image.ends import split_end
    from rootless_pod.image.push import send
    from rootless_pod.oci.reference import has_registry

    kept, _index = read_list(paths, text)
    where = destination or (kept.name or "")
    if not destination and (not kept.name or kept.name.startswith("localhost/")):
        raise Usage(
            f"{text} has no name that says where to push", remedy=f"run: rpod manifest push {text} REGISTRY/NAME"
        )
    if not parse_source(where).transport:
        if not has_registry(where.partition("@")[0]):
            raise Usage(f"destination {where!r} names no registry", remedy=f"write REGISTRY/{where}")
        where = f"docker://{where}"
    opened = _kept_source(paths, kept, text)
    with store_use_lock(paths):
        return send(paths, opened, split_end(where), options)


def read_document(paths: Paths, text: str, access: Access) -> bytes:
    """Return the list or manifest that ``text`` means here or elsewhere (raises NotFound)."""
    opened = _open(paths, text, access)
    try:
        data, _media_type = opened.source.manifest()
        return data
    finally:
        opened.close()


def pull_list(paths: Paths, text: str, access: Access) -> str:
    """Bring an image for all its platforms, as it is, and return the list's digest; nothing of it is unpacked yet.

    Raises:
        NotFound: nothing has it.
        Usage: it is for one platform only.
    """
    from rootless_pod.image.ends import open_source
    from rootless_pod.image.install import put_names

    where = parse_source(text)
    if not where.transport:
        where = where.replace(transport="docker", rest=str(parse_reference(text)))
    opened = open_source(paths, where, access)
    try:
        data, claimed = opened.source.manifest()
        media_type = detect_media_type(data, claimed or None)
        if not is_index(media_type):
            raise Usage(f"{text} is for one platform only", remedy=f"run: rpod pull {text}")
        layout = user_layout(paths)
        with store_use_lock(paths):
            _bring(layout, opened, every=True)
            plain = IndexEntry(digest=layout.write_blob(data), media_type=media_type, size=len(data))
            layout.update(lambda entries: put_names(entries, plain, opened.names))
        return plain.digest
    finally:
        opened.close()
