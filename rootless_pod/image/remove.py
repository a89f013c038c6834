"""Take names and images away, and what nobody refers to any more."""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import Conflict, NotFound, RpodError, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.image.install import store_use_lock
from rootless_pod.image.layout import IndexEntry, Layout, open_layout
from rootless_pod.image.lookup import broken_entries, drop_record, find_kept, list_images, lookup_named, refuse_foreign
from rootless_pod.oci.reference import parse_reference
from rootless_pod.state.events import emit
from rootless_pod.state.record import read_record
from rootless_pod.storage.prune import prune_layers
from rootless_pod.storage.store import Store

_NOT_HOST = "name another image; those in your store are listed by: rpod images"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.oci.image import Image
    from rootless_pod.paths import Paths

IN_USE_EXIT_CODE = 2
NO_SUCH_EXIT_CODE = 1


class Removal(Frozen):
    """What was done: names taken away, ids of images deleted."""

    untagged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


def containers_of(paths: Paths, image_id: str) -> tuple[str, ...]:
    """Return the ids of containers made from the image, whatever their state."""
    try:
        names = sorted(os.listdir(paths.containers))
    except FileNotFoundError:
        return ()
    found = []
    for name in names:
        try:
            record = read_record(f"{paths.containers}/{name}/container.json")
        except (RpodError, OSError):
            continue
        if record.get("image_id") == image_id:
            found.append(name)
    return tuple(found)


def _volumes_on_images(paths: Paths) -> dict[str, dict[str, Any]]:
    """Return the records of volumes whose content is an image's, by name."""
    found = {}
    for name in sorted(os.listdir(paths.volumes)) if os.path.isdir(paths.volumes) else ():
        try:
            record = read_record(f"{paths.volumes}/{name}/driver.json")
        except (RpodError, OSError):
            continue
        if record.get("image_id"):
            found[name] = record
    return found


def tag_image(paths: Paths, text: str, new_names: tuple[str, ...]) -> None:
    """Give an image further names; a name that another image has moves over.

    Raises:
        NotFound: no such image.
        Usage: a bad name, or one with a digest, or the image ``host``.
    """
    from rootless_pod.image.install import put_names

    kept = find_kept(paths, text)
    digest = kept.digest if kept is not None else ""
    image_id = digest.removeprefix("sha256:")
    if kept is None:
        image, _name = lookup_named(paths, text)
        if image.is_host:
            raise Usage("image host is this machine itself: it has no other names", remedy=_NOT_HOST)
        refuse_foreign(image)
        digest, image_id = image.manifest_digest, image.id
    full = []
    for new in new_names:
        if "@" in new:
            raise Usage(f"cannot tag with a digest: {new}", remedy="give NAME or NAME:TAG")
        full.append(str(parse_reference(new, default_registry="localhost")))

    def change(entries: list[IndexEntry]) -> list[IndexEntry]:
        own = next((entry for entry in entries if entry.digest == digest), None)
        if own is None:
            raise NotFound(f"image {text} was removed meanwhile", exit_code=125)
        return put_names(entries, own.replace(name=None), tuple(full))

    open_layout(paths).update(change)
    for new in new_names:
        emit(paths, "image", "tag", id=image_id, name=new)


def untag_image(paths: Paths, text: str, names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Take ``names`` (without any: all) from an image; it stays, without a name if need be. Return what went.

    Raises:
        NotFound: no such image, or it does not have such a name.
    """
    image, _found = lookup_named(paths, text)
    if image.is_host:
        raise Usage("image host is this machine itself: its name stays", remedy=_NOT_HOST)
    refuse_foreign(image)
    going = list(image.names) if not names else []
    for name in names:
        other, full = lookup_named(paths, name)
        if full is None or other.id != image.id:
            raise NotFound(f"{name} is not a name of image {image.id[:12]}", exit_code=125)
        going.append(full)
    _take_names(open_layout(paths), tuple(going))
    _tell_untagged(paths, image.id, tuple(going))
    return tuple(going)


def _tell_untagged(paths: Paths, image_id: str, names: tuple[str, ...]) -> None:
    for name in names:
        emit(paths, "image", "untag", id=image_id, name=name)


def _take_names(layout: Layout, names: tuple[str, ...]) -> None:
    def change(entries: list[IndexEntry]) -> list[IndexEntry]:
        kept = [entry for entry in entries if entry.name is None or entry.name not in names]
        listed = {entry.digest for entry in kept}
        for entry in entries:
            if entry.digest not in listed:
                listed.add(entry.digest)
                kept.append(entry.replace(name=None))
        return kept

    layout.update(change)


def remove_image(paths: Paths, text: str, *, force: bool = False) -> Removal:
    """Remove the name ``text``, and the image with its last one; by id, the image with its only name.

    ``force`` removes an image with several names by id; containers must be gone already.

    Raises:
        NotFound: no such image (exit code 1).
        Conflict: containers use it (exit code 2), or it has several names and was given by id.
        Usage: the image ``host``.
    """
    kept = find_kept(paths, text)
    if kept is not None:
        return remove_kept(paths, kept)
    try:
        image, name = lookup_named(paths, text)
    except NotFound as missing:
        missing.exit_code = NO_SUCH_EXIT_CODE
        missing.remedy = "see what is there: rpod images"
        raise
    if image.is_host:
        raise Usage("image host is this machine itself: it can't be removed", remedy=_NOT_HOST)
    refuse_foreign(image)
    layout = open_layout(paths)
    if name is not None and len(image.names) > 1:
        _take_names(layout, (name,))
        _tell_untagged(paths, image.id, (name,))
        return Removal(untagged=(name,))
    if name is None and len(image.names) > 1 and not force:
        raise Conflict(
            f"image {image.id[:12]} has several names: {', '.join(image.names)}",
            remedy=f"remove them one by one, or all with: rpod rmi -f {image.id[:12]}",
        )
    _drop(paths, layout, image, name or image.id[:12], force=force)
    _tell_untagged(paths, image.id, image.names)
    emit(paths, "image", "remove", id=image.id, name=name or next(iter(image.names), ""))
    return Removal(untagged=image.names, deleted=(image.id,))


def remove_kept(paths: Paths, kept: IndexEntry) -> Removal:
    """Take away the name of a list or artifact (one found by digest: all); with its last name it is gone."""
    gone: list[bool] = []

    def change(entries: list[IndexEntry]) -> list[IndexEntry]:
        left = [entry for entry in entries if (entry.digest, entry.name) != (kept.digest, kept.name)]
        gone[:] = [not any(entry.digest == kept.digest for entry in left)]
        return left

    open_layout(paths).update(change)
    image_id, names = kept.digest.removeprefix("sha256:"), (kept.name,) if kept.name else ()
    _tell_untagged(paths, image_id, names)
    if gone[0]:
        emit(paths, "image", "remove", id=image_id, name=kept.name or "")
    return Removal(untagged=names, deleted=(image_id,) if gone[0] else ())


def _drop(paths: Paths, layout: Layout, image: Image, shown: str, *, force: bool) -> None:
    """Take every entry of the image away, if no container stands on it: none can come in between (``KeptImage``).

    Volumes on it hold it too, but for ``force``: they keep its layers.
    """
    digests: set[str] = set()

    def change(entries: list[IndexEntry]) -> list[IndexEntry]:
        users = containers_of(paths, image.id)
        if users:
            raise Conflict(
                f"image {shown} is in use by container {', '.join(one[:12] for one in users)}",
                remedy="remove the containers first, or all together with: rpod rmi -f",
                exit_code=IN_USE_EXIT_CODE,
            )
        volumes = [name for name, record in _volumes_on_images(paths).items() if record["image_id"] == image.id]
        if volumes and not force:
            raise Conflict(
                f"image {shown} is in use by volume {', '.join(volumes)}",
                remedy=f"remove the volumes first (rpod volume rm {' '.join(volumes)}), or only the image: rpod rmi -f",
                exit_code=IN_USE_EXIT_CODE,
            )
        digests.clear()
        digests.update(entry.digest for entry in entries if entry.image_id == image.id)
        digests.add(image.manifest_digest)
        return [entry for entry in entries if entry.digest not in digests]

    layout.update(change)
    for digest in digests:
        drop_record(paths, digest)


def remove_broken(paths: Paths) -> tuple[str, ...]:
    """Drop entries whose manifest or config can't be read any more; return their names or digests."""
    broken = broken_entries(paths)
    gone = {entry.digest for entry in broken}
    if gone:
        open_layout(paths).update(lambda entries: [entry for entry in entries if entry.digest not in gone])
    for entry in broken:
        emit(paths, "image", "remove", id=entry.digest.removeprefix("sha256:"), name=entry.name or "")
    return tuple(entry.name or entry.digest for entry in broken)


def collect_garbage(paths: Paths) -> int:
    """Delete layers and blobs that no image refers to; return the bytes freed.

    While another rpod adds an image nothing is deleted: the next call takes it.
    """
    layout, store = open_layout(paths), Store(paths)
    with_lock = store_use_lock(paths, shared=False)
    if not with_lock.acquire(wait=False):
        return 0
    try:
        layout.sweep()
        store.sweep()
        # A list lives by its name: when that moved on to something else, nobody can mean the list any more.
        layout.update(lambda entries: [entry for entry in entries if entry.name or not entry.is_list])
        pruned = prune_layers(store, lambda: _referenced_layers(paths), grace_seconds=0.0)
        return sum(one.size_bytes for one in pruned) + _sweep_blobs(layout)
    finally:
        with_lock.release()


def _referenced_layers(paths: Paths) -> set[str]:
    from rootless_pod.image.mounts import layers_of_mounts

    of_volumes = {chain for record in _volumes_on_images(paths).values() for chain in record.get("layers") or ()}
    return {chain for image in list_images(paths) for chain in image.layers} | layers_of_mounts(paths) | of_volumes


def reachable_blobs(layout: Layout) -> set[str]:
    """Return the digests of all that the index leads to."""
    reachable: set[str] = set()
    for entry in layout.entries():
        _mark(layout, entry.digest, reachable)
        if entry.twin_digest:
            reachable.add(entry.twin_digest)
    return reachable


def _sweep_blobs(layout: Layout) -> int:
    """Delete blobs that are reachable from no entry of the index."""
    reachable = reachable_blobs(layout)
    freed = 0
    for algorithm in ("sha256", "sha512"):
        directory = f"{layout.root}/blobs/{algorithm}"
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            if f"{algorithm}:{name}" not in reachable:
                try:
                    freed += os.stat(f"{directory}/{name}").st_size
                    os.unlink(f"{directory}/{name}")
                except OSError:
                    continue
    return freed


def _mark(layout: Layout, digest: str, reachable: set[str]) -> None:
    """Add a manifest or index and all it names; what can't be read names nothing."""
    if digest in reachable:
        return
    reachable.add(digest)
    try:
        document = jsontext.loads(layout.read_blob(digest))
    except (RpodError, ValueError, OSError):
        return
    if not isinstance(document, dict):
        return
    for child in document.get("manifests") or ():
        _mark(layout, str(child.get("digest")), reachable)
    for descriptor in (document.get("config"), *(document.get("layers") or ())):
        if isinstance(descriptor, dict):
            reachable.add(str(descriptor.get("digest")))
