"""What ``docker save`` writes: configs, uncompressed layers and ``manifest.json``. Source: Docker image spec 1.2."""

from __future__ import annotations

from rootless_pod import jsontext
from rootless_pod.errors import Conflict, Corrupt, NotFound
from rootless_pod.frozen import Frozen
from rootless_pod.image.formats.tar_output import TarOutput, takes_sizes_later
from rootless_pod.image.formats.tree import read_file
from rootless_pod.oci.descriptor import Descriptor
from rootless_pod.oci.digest import new_hash, of_bytes
from rootless_pod.oci.manifest import Manifest, format_manifest
from rootless_pod.oci.mediatype import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    DOCKER_MANIFEST,
)
from rootless_pod.oci.reference import parse_reference
from rootless_pod.storage.compress import detect_compression, open_compressed
from rootless_pod.storage.readahead import ReadAhead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from rootless_pod.image.formats.tree import FileReader, Tree
    from rootless_pod.image.save import SavedImage

_LAYER_TYPES = {"none": DOCKER_LAYER, "gzip": DOCKER_LAYER_GZIP, "zstd": DOCKER_LAYER_ZSTD}


class ArchivedImage(Frozen):
    """One entry of ``manifest.json``."""

    config: str
    layers: tuple[str, ...]
    repo_tags: tuple[str, ...] = ()


def is_docker_archive(tree: Tree) -> bool:
    """Whether the tree has docker's ``manifest.json`` (skopeo's ``dir:`` has an object in a file of that name).

    Raises:
        Corrupt: the file is there and is no JSON.
    """
    if not tree.exists("manifest.json"):
        return False
    try:
        return isinstance(jsontext.loads(read_file(tree, "manifest.json")), list)
    except ValueError as cause:
        raise _damaged(tree, cause) from cause


def archived_images(tree: Tree) -> tuple[ArchivedImage, ...]:
    """Return what the archive holds.

    Raises:
        Corrupt: ``manifest.json`` is missing or not valid.
    """
    try:
        entries = jsontext.loads(read_file(tree, "manifest.json"))
        return tuple(
            ArchivedImage(
                config=str(entry["Config"]),
                layers=tuple(str(layer) for layer in entry.get("Layers") or ()),
                repo_tags=tuple(str(tag) for tag in entry.get("RepoTags") or ()),
            )
            for entry in entries
        )
    except NotFound as cause:
        raise Corrupt(f"{tree.shown} is no docker archive: it has no manifest.json") from cause
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise _damaged(tree, cause) from cause


def _damaged(tree: Tree, cause: Exception) -> Corrupt:
    return Corrupt(f"{tree.shown}: manifest.json is damaged: {cause}", remedy="export the image anew")


def choose_archived(images: tuple[ArchivedImage, ...], wanted: str, shown: str) -> ArchivedImage:
    """Return the image called ``wanted`` (a name, or ``@N`` for the N-th); without one, the only image.

    Raises:
        NotFound: no such image.
        Conflict: several, and none was named.
    """
    listed = ", ".join(tag for image in images for tag in image.repo_tags) or "none with a name"
    if wanted.startswith("@") and wanted[1:].isdigit():
        if int(wanted[1:]) < len(images):
            return images[int(wanted[1:])]
    elif wanted:
        name = str(parse_reference(wanted))
        for image in images:
            if name in [str(parse_reference(tag)) for tag in image.repo_tags]:
                return image
    elif len(images) == 1:
        return images[0]
    else:
        raise Conflict(f"{shown} has {len(images)} images: {listed}", remedy="name one of them after a colon")
    raise NotFound(f"{shown} has no image {wanted!r}; it has: {listed}", remedy="name one it has", exit_code=125)


class DockerArchiveSource:
    """One image of an archive, with a schema 2 manifest made for it: the config's bytes, so the image id, stay."""

    def __init__(self, tree: Tree, image: ArchivedImage) -> None:
        """Hash the layers (an archive names them, but not their digests).

        Raises:
            Corrupt: a named file is missing.
        """
        self.shown = tree.shown
        self._tree = tree
        self._files: dict[str, str] = {}
        try:
            config_text = read_file(tree, image.config)
            self._config = Descriptor(media_type=DOCKER_CONFIG, digest=of_bytes(config_text), size=len(config_text))
            self._files[self._config.digest] = image.config
            layers = tuple(self._layer(name) for name in image.layers)
        except NotFound as cause:
            raise Corrupt(f"{cause.message}, though manifest.json names it", remedy="export the image anew") from cause
        self._manifest = format_manifest(Manifest(config=self._config, layers=layers, media_type=DOCKER_MANIFEST))

    def _layer(self, name: str) -> Descriptor:
        reader = self._tree.open(name)
        digest, size, start = new_hash(), 0, b""
        try:
            while data := reader.read(1 << 20):
                start = start or data[:16]
                size += len(data)
                digest.update(data)
        finally:
            reader.close()
        if size != self._tree.size(name):
            raise Corrupt(f"{self.shown}: {name} is cut off", remedy="export the image anew")
        descriptor = Descriptor(
            media_type=_LAYER_TYPES[detect_compression(start)], digest=f"sha256:{digest.hexdigest()}", size=size
        )
        self._files[descriptor.digest] = name
        return descriptor

    def manifest(self) -> tuple[bytes, str]:
        """Return the made manifest."""
        return self._manifest, DOCKER_MANIFEST

    def child_manifest(self, descriptor: Descriptor) -> bytes:
        """Say that there is no index in such an archive."""
        raise Corrupt(f"{self.shown}: a docker archive has no manifest {descriptor.digest}")

    def blob(self, descriptor: Descriptor) -> FileReader:
        """Open a layer or the config."""
        return self._tree.open(self._files[descriptor.digest])


def write_docker_archive(output: BinaryIO, images: tuple[SavedImage, ...]) -> None:
    """Write the archive: each layer decompressed, once, and called by its diff id."""
    listing = []
    written: set[str] = set()
    archive = TarOutput(output)
    add_layer = _add_layer if takes_sizes_later(output) else _add_layer_to_pipe
    for image in images:
        names = []
        for layer, diff_id in zip(image.manifest.layers, image.config.diff_ids, strict=True):
            name = f"{diff_id.removeprefix('sha256:')}.tar"
            names.append(name)
            if name not in written:
                written.add(name)
                add_layer(archive, name, image, layer, diff_id)
        config = f"{image.manifest.config.hex}.json"
        if config not in written:
            written.add(config)
            archive.add_text(config, image.config_text)
        listing.append({"Config": config, "RepoTags": list(image.names) or None, "Layers": names})
    archive.add_text("manifest.json", jsontext.dumps(listing).encode())
    archive.end()


class _Plain:
    """A stored layer as it unpacks, decompressed in a thread; ``finish`` compares it with its diff id."""

    def __init__(self, image: SavedImage, layer: Descriptor, diff_id: str) -> None:
        self._layer = layer
        self._diff_id = diff_id
        self._digest = new_hash()
        self._file = image.open_blob(layer.digest)
        try:
            self._ahead = ReadAhead(open_compressed(self._file, layer.media_type))
        except BaseException:
            self._file.close()
            raise

    def read(self, size: int, /) -> bytes:
        data = self._ahead.read(size)
        self._digest.update(data)
        return data

    def __enter__(self) -> _Plain:
        return self

    def __exit__(self, *_fault: object) -> None:
        self._ahead.close()
        self._file.close()

    def finish(self) -> None:
        """Compare (raises Corrupt)."""
        if f"sha256:{self._digest.hexdigest()}" != self._diff_id:
            raise Corrupt(
                f"layer {self._layer.digest} in the image store is damaged: it does not unpack to {self._diff_id}",
                remedy="remove the image and pull it again",
            )


def _add_layer(archive: TarOutput, name: str, image: SavedImage, layer: Descriptor, diff_id: str) -> None:
    with _Plain(image, layer, diff_id) as plain:
        archive.add_unsized(name, plain)
        plain.finish()


def _add_layer_to_pipe(archive: TarOutput, name: str, image: SavedImage, layer: Descriptor, diff_id: str) -> None:
    """Read the layer twice: a tar header has the size before the bytes; the first pass also checks the diff id."""
    size = 0
    with _Plain(image, layer, diff_id) as plain:
        while data := plain.read(1 << 20):
            size += len(data)
        plain.finish()
    with _Plain(image, layer, diff_id) as plain:
        archive.add(name, plain, size)
