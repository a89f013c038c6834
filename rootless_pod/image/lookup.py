"""Find images that are here: by name, short name, id prefix or digest. No network, one small file an image."""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import Conflict, Corrupt, NotFound, Refused, RpodError, Usage
from rootless_pod.image.layout import IndexEntry, Layout, additional_layouts, open_layout
from rootless_pod.oci.image import Image, parse_config
from rootless_pod.oci.reference import Reference, has_registry, parse_reference, parse_source
from rootless_pod.state.record import read_bytes, write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.paths import Paths

HOST_NAME = "host"
_SHORT_ID = 12
_HEX = frozenset("0123456789abcdef")


def lookup(paths: Paths, text: str) -> Image:
    """Return the image that ``text`` names: a name, a short name, an id or its prefix, a digest; ``host`` is built in.

    Raises:
        NotFound: no such image (exit code 125).
        Conflict: a prefix or short name fits several images.
        Usage: the text can't be a name.
    """
    return lookup_named(paths, text)[0]


def lookup_named(paths: Paths, text: str) -> tuple[Image, str | None]:
    """Return the image and the full name by which it was found (None: by id or digest)."""
    if text == HOST_NAME:
        from rootless_pod.image.host import host_image

        return host_image(), HOST_NAME
    source = parse_source(text)
    if source.transport in ("docker", "containers-storage"):
        text = source.rest
    named = _look_in(paths, open_layout(paths), text)
    if named is not None:
        return named
    for store, layout in additional_layouts(paths):
        named = _look_in(paths, layout, text)
        if named is not None:
            return named[0].replace(store=store), named[1]
    raise NotFound(f"no image {text!r} here", remedy=f"run: rpod pull {text}", exit_code=125)


def _look_in(paths: Paths, layout: Layout, text: str) -> tuple[Image, str | None] | None:
    entries = layout.entries()
    found = _find_by_full_id(layout, entries, text)
    if found is None:
        entry = _find_by_name(entries, text)
        if entry is not None:
            return read_image(paths, layout, _of_this_machine(layout, entry), entries), entry.name
        found = _find_by_id_prefix(layout, entries, text)
    return None if found is None else (read_image(paths, layout, found, entries), None)


def list_images(paths: Paths) -> tuple[Image, ...]:
    """Return every image once (all its names together), in the order the store lists them; broken ones are left out.

    Only the user's own: those of additional stores are given by ``list_additional``.
    """
    return _list_in(paths, open_layout(paths))


def list_additional(paths: Paths) -> tuple[Image, ...]:
    """Return the images of read-only stores of others: those that, or names of which, no store before has."""
    if not paths.additional:
        return ()
    seen = {one for image in list_images(paths) for one in (image.id, *image.names)}
    found = []
    for store, layout in additional_layouts(paths):
        for image in _list_in(paths, layout):
            names = tuple(name for name in image.names if name not in seen)
            if names or image.id not in seen:
                seen.update((image.id, *names))
                found.append(image.replace(store=store, names=names))
    return tuple(found)


def refuse_foreign(image: Image) -> None:
    """Refuse to change an image of a read-only store.

    Raises:
        Refused: it is one.
    """
    if image.store:
        raise Refused(
            f"image {(*image.names, image.id[:12])[0]} is in the read-only store {image.store}",
            remedy="whoever keeps that store can change it; rpod pull NAME brings an image into your own",
        )


def _list_in(paths: Paths, layout: Layout) -> tuple[Image, ...]:
    entries = layout.entries()
    images: dict[str, Image] = {}
    for entry in entries:
        if entry.is_list or entry.is_artifact:
            continue
        try:
            image_id = _id_of(layout, entry)
            if image_id not in images:
                images[image_id] = read_image(paths, layout, entry, entries)
        except (RpodError, OSError):
            continue
    return tuple(images.values())


def broken_entries(paths: Paths) -> tuple[IndexEntry, ...]:
    """Return the entries whose manifest or config can't be read any more."""
    layout = open_layout(paths)
    entries = layout.entries()
    broken = []
    for entry in entries:
        if entry.is_list or entry.is_artifact:
            continue
        try:
            read_image(paths, layout, entry, entries)
        except (RpodError, OSError):
            broken.append(entry)
    return tuple(broken)


def find_kept(paths: Paths, text: str) -> IndexEntry | None:
    """Return the list or artifact that has the name or digest ``text``, None where there is none.

    Raises:
        Usage: the text can't be a name.
    """
    entries = open_layout(paths).entries()
    kept = tuple(one for one in entries if one.is_list or one.is_artifact)
    if not kept:
        return None
    plain = text.removeprefix("sha256:")
    if len(plain) >= _SHORT_ID and set(plain) <= _HEX:
        fitting = [one for one in kept if one.digest.removeprefix("sha256:").startswith(plain)]
        if fitting:
            return fitting[0]
    found = _find_by_name(entries, text)
    return found if found in kept else None


def _of_this_machine(layout: Layout, entry: IndexEntry) -> IndexEntry:
    """Return the entry itself, or of a list the one of its manifests that runs here.

    Raises:
        NotFound: none does, or it is an artifact.
    """
    if entry.is_artifact:
        raise NotFound(
            f"{entry.name} is an artifact, not an image", remedy=f"run: rpod artifact extract {entry.name} DIR"
        )
    if not entry.is_list:
        return entry
    from rootless_pod.oci.manifest import choose_manifest, parse_index
    from rootless_pod.oci.platform import host_platform

    chosen = choose_manifest(parse_index(layout.read_blob(entry.digest)), host_platform())
    return IndexEntry(digest=chosen.digest, media_type=chosen.media_type, size=chosen.size)


def _id_of(layout: Layout, entry: IndexEntry) -> str:
    """Return the image id of an entry; entries of other tools cost reading their manifest."""
    if entry.image_id:
        return entry.image_id
    manifest = jsontext.loads(layout.read_blob(entry.digest))
    try:
        return str(manifest["config"]["digest"]).removeprefix("sha256:")
    except (KeyError, TypeError) as cause:
        raise Corrupt(f"{entry.digest} is not an image manifest") from cause


def _safe_id(layout: Layout, entry: IndexEntry) -> str:
    try:
        return _id_of(layout, entry)
    except (RpodError, ValueError):
        return ""


def _find_by_full_id(layout: Layout, entries: tuple[IndexEntry, ...], text: str) -> IndexEntry | None:
    """Find ``sha256:HEX`` (id or manifest digest) and a whole hexadecimal id."""
    hexadecimal = text.removeprefix("sha256:")
    if len(hexadecimal) != 64 or not set(hexadecimal) <= _HEX:
        return None
    for entry in entries:
        if _safe_id(layout, entry) == hexadecimal:
            return entry
    for entry in entries:
        if f"sha256:{hexadecimal}" in (entry.digest, entry.pulled_digest):
            return entry
    return None


def _find_by_id_prefix(layout: Layout, entries: tuple[IndexEntry, ...], text: str) -> IndexEntry | None:
    prefix = text.removeprefix("sha256:")
    if not prefix or not set(prefix) <= _HEX:
        return None
    found = {image_id: entry for entry in entries if (image_id := _safe_id(layout, entry)).startswith(prefix)}
    if len(found) > 1:
        shown = ", ".join(sorted(image_id[:12] for image_id in found))
        raise Conflict(f"id prefix {text!r} fits several images: {shown}", remedy="give more digits of the id")
    return next(iter(found.values()), None)


def _find_by_name(entries: tuple[IndexEntry, ...], text: str) -> IndexEntry | None:
    try:
        wanted = parse_reference(text, default_registry="localhost")
    except Usage:
        if set(text.removeprefix("sha256:")) <= _HEX:
            return None
        raise
    if has_registry(text.partition("@")[0]):
        return _exact(entries, wanted)
    fitting = [entry for entry in entries if _ends_with(entry, wanted)]
    images = {entry.digest for entry in fitting}
    if len(images) <= 1:
        return fitting[0] if fitting else None
    # Several images share the short name: registries.conf decides, in the order a pull would take.
    from rootless_pod.config.registries import read_registries

    candidates = [wanted, *read_registries().candidates(text), parse_reference(text)]
    for candidate in candidates:
        if (entry := _exact(entries, candidate)) is not None:
            return entry
    shown = ", ".join(sorted(str(entry.name) for entry in fitting))
    raise Conflict(f"short name {text!r} fits several images: {shown}", remedy="write the registry as well")


def _exact(entries: tuple[IndexEntry, ...], wanted: Reference) -> IndexEntry | None:
    full = str(wanted)
    for entry in entries:
        if entry.name == full:
            return entry
    if wanted.digest:
        for entry in entries:
            if wanted.digest in (entry.digest, entry.pulled_digest) and _repository(entry.name) == wanted.name:
                return entry
    return None


def _ends_with(entry: IndexEntry, wanted: Reference) -> bool:
    """Whether the entry's name is the wanted short name in some registry and namespace."""
    if entry.name is None:
        return False
    repository = _repository(entry.name)
    if not repository.endswith(f"/{wanted.repository}"):
        return False
    if wanted.digest:
        return wanted.digest in (entry.digest, entry.pulled_digest)
    return entry.name == f"{repository}:{wanted.tag}"


def _repository(name: str | None) -> str:
    """Return a full name without its tag and digest."""
    name = (name or "").partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def read_image(paths: Paths, layout: Layout, entry: IndexEntry, entries: tuple[IndexEntry, ...]) -> Image:
    """Return the image of an index entry; its derived parts come from a cache keyed by the manifest's digest."""
    record = _cached_record(paths, entry.digest)
    if record is None:
        record = make_record(layout, entry.digest)
        unpacked = _unpacked_bytes(paths, record["layers"])
        if unpacked is not None:
            record["size_bytes"] = unpacked + len(record["config"]) + entry.size
            _keep_record(paths, entry.digest, record)
    config = parse_config(record["config"].encode())
    digests = {one.digest for one in entries if one.image_id == record["id"]} | {entry.digest}
    return Image(
        id=record["id"],
        manifest_digest=entry.digest,
        manifest_media_type=record["media_type"],
        names=tuple(one.name for one in entries if one.name and one.digest in digests),
        config=config,
        layers=tuple(record["layers"]),
        size_bytes=record["size_bytes"],
        created=config.created,
    )


def _cached_record(paths: Paths, digest: str) -> dict[str, Any] | None:
    try:
        record = jsontext.loads(read_bytes(f"{paths.graphroot}/image-cache/{digest.removeprefix('sha256:')}.json"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.get("version") == 1 else None


def _keep_record(paths: Paths, digest: str, record: dict[str, Any]) -> None:
    """Write the cache; a store that can't be written (read-only, full) only makes the next look-up slower."""
    directory = f"{paths.graphroot}/image-cache"
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        write_bytes(f"{directory}/{digest.removeprefix('sha256:')}.json", jsontext.dumps(record).encode())
    except OSError:
        pass


def _unpacked_bytes(paths: Paths, layers: list[str]) -> int | None:
    """Return the size of the unpacked layers together; None while one is missing."""
    from rootless_pod.storage.store import Store

    store = Store(paths)
    try:
        return sum(store.layer_info(chain).size_bytes for chain in layers)
    except RpodError:
        return None


def drop_record(paths: Paths, digest: str) -> None:
    """Forget the cached record of a manifest; idempotent."""
    try:
        os.unlink(f"{paths.graphroot}/image-cache/{digest.removeprefix('sha256:')}.json")
    except OSError:
        pass


def make_record(layout: Layout, manifest_digest: str) -> dict[str, Any]:
    """Read manifest and config (both checked against their digests) into what the cache keeps.

    Raises:
        NotFound: a blob is missing.
        Corrupt: a blob is damaged, or manifest and config contradict each other.
    """
    from rootless_pod.oci.manifest import parse_manifest

    manifest = parse_manifest(layout.read_blob(manifest_digest))
    config_text = layout.read_blob(manifest.config.digest)
    config = parse_config(config_text)
    if len(config.diff_ids) != len(manifest.layers):
        raise Corrupt(
            f"image {manifest.config.digest}: {len(manifest.layers)} layers but {len(config.diff_ids)} diff ids"
        )
    return {
        "version": 1,
        "id": manifest.config.digest.removeprefix("sha256:"),
        "media_type": manifest.media_type,
        "layers": list(config.chain_ids()),
        "size_bytes": sum(layer.size for layer in manifest.layers) + len(config_text),
        "config": config_text.decode(),
    }
