"""How much of the disk images take, and how much of it they share."""

from __future__ import annotations

from rootless_pod.errors import RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.image.layout import open_layout
from rootless_pod.image.lookup import list_images
from rootless_pod.oci.image import Image
from rootless_pod.oci.manifest import parse_manifest
from rootless_pod.storage.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.paths import Paths


class Part(Frozen):
    """One thing on the disk that images share: an unpacked layer (its chain id) or a blob (its digest)."""

    name: str
    size_bytes: int


class ImageUsage(Frozen):
    """One image: ``unique_bytes`` is what goes with it, ``shared_bytes`` what others need as well."""

    image: Image
    parts: tuple[Part, ...]
    shared_bytes: int
    unique_bytes: int


def image_usage(paths: Paths) -> tuple[ImageUsage, ...]:
    """Return every image with its share; layers count as unpacked, and blobs as they are stored."""
    found = [(image, parts_of(paths, image)) for image in list_images(paths)]
    users: dict[str, int] = {}
    for _image, parts in found:
        for part in parts:
            users[part.name] = users.get(part.name, 0) + 1
    return tuple(
        ImageUsage(
            image=image,
            parts=parts,
            shared_bytes=sum(part.size_bytes for part in parts if users[part.name] > 1),
            unique_bytes=sum(part.size_bytes for part in parts if users[part.name] == 1),
        )
        for image, parts in found
    )


def parts_of(paths: Paths, image: Image) -> tuple[Part, ...]:
    """Return the layers and blobs of an image, each once."""
    layout = open_layout(paths)
    parts = {chain: layer_size(paths, chain) for chain in image.layers}
    try:
        manifest = parse_manifest(layout.read_blob(image.manifest_digest))
    except RpodError:
        manifest = None
    if manifest is not None:
        parts |= {one.digest: one.size for one in (manifest.config, *manifest.layers)}
    return tuple(Part(name=name, size_bytes=size_bytes) for name, size_bytes in parts.items())


def layer_size(paths: Paths, chain: str) -> int:
    """Return the size of an unpacked layer's files, 0 where it is not here."""
    try:
        return Store(paths).layer_info(chain).size_bytes
    except RpodError:
        return 0


def total_bytes(usages: tuple[ImageUsage, ...]) -> int:
    """Return what all of them take together."""
    return sum({part.name: part.size_bytes for usage in usages for part in usage.parts}.values())
