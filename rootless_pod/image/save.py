"""Save: images from the store to archives and directories; OCI outputs keep every digest."""

from __future__ import annotations

import os

from rootless_pod.errors import Conflict, Refused, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.image.convert import to_docker, to_oci
from rootless_pod.image.formats.directory import copy_file, write_directory
from rootless_pod.image.formats.docker_archive import write_docker_archive
from rootless_pod.image.formats.oci_archive import layout_documents, write_oci_archive
from rootless_pod.image.layout import disk_error, open_layout
from rootless_pod.image.lookup import lookup_named
from rootless_pod.oci.digest import of_bytes
from rootless_pod.oci.image import ImageConfig, parse_config
from rootless_pod.oci.manifest import Manifest, format_manifest, parse_manifest
from rootless_pod.oci.reference import parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from rootless_pod.image.layout import Layout
    from rootless_pod.paths import Paths

FORMATS = ("docker-archive", "oci-archive", "oci-dir", "docker-dir")


class SavedImage(Frozen):
    """An image as it goes out: ``data`` is the manifest's text (of the target's kind), ``digest`` its digest."""

    names: tuple[str, ...]
    digest: str
    data: bytes
    manifest: Manifest
    config: ImageConfig
    config_text: bytes
    layout: Layout

    def open_blob(self, digest: str) -> BinaryIO:
        """Open a layer or the config."""
        return open(self.layout.blob_path(digest), "rb")

    def blobs(self) -> Iterator[tuple[str, int, Callable[[], BinaryIO]]]:
        """Return (digest, size, opener) of config, layers and manifest."""
        import io

        for one in (self.manifest.config, *self.manifest.layers):
            yield one.digest, one.size, lambda digest=one.digest: self.open_blob(digest)  # type: ignore[misc]
        yield self.digest, len(self.data), lambda: io.BytesIO(self.data)


def read_saved(paths: Paths, text: str, *, kind: str, extra_names: tuple[str, ...] = ()) -> SavedImage:
    """Read an image for output; ``kind`` is ``oci``, ``docker`` or "" (as it is).

    Raises:
        NotFound: no such image, or one of its blobs is gone.
        Refused: it can't be expressed in that kind.
        Corrupt: it is damaged.
    """
    image, name = lookup_named(paths, text)
    if image.is_host:
        raise Refused(
            "image host is this machine itself: there is nothing to save",
            remedy="copy what you want out of a container: rpod cp NAME:PATH .",
        )
    layout = open_layout(paths)
    data = layout.read_blob(image.manifest_digest)
    manifest = parse_manifest(data)
    for layer in manifest.layers:
        if not layout.has_blob(layer.digest, layer.size):
            raise Conflict(
                f"blob {layer.digest} of {text} is missing from the image store", remedy=f"run: rpod pull {text}"
            )
    config_text = layout.read_blob(manifest.config.digest)
    config = parse_config(config_text)
    if kind == "docker":
        manifest = to_docker(manifest, text)
    elif kind == "oci":
        manifest = to_oci(manifest, text)
    if manifest.media_type != image.manifest_media_type:
        data = format_manifest(manifest)
    names = (*((name,) if name and "@" not in name else ()), *extra_names)
    return SavedImage(
        names=tuple(dict.fromkeys(names)),
        digest=of_bytes(data),
        data=data,
        manifest=manifest,
        config=config,
        config_text=config_text,
        layout=layout,
    )


def gather(
    paths: Paths, words: tuple[str, ...], *, output_format: str, several: bool, packed_anew: bool = False
) -> tuple[SavedImage, ...]:
    """Return what ``save A B …`` means: several images, or image A under the further names B ….

    ``packed_anew``: layers get the format's compression later, so theirs need not fit it.
    Without ``several`` a further word that names an image here means that image, any other is a name for A.

    Raises:
        Usage: an unknown format, or several images for a format that holds one.
    """
    if output_format not in FORMATS:
        raise Usage(f"unknown format {output_format!r}", remedy=f"use one of: {', '.join(FORMATS)}")
    kind = {"oci-archive": "oci", "oci-dir": "oci", "docker-dir": "docker"}.get(output_format, "")
    if packed_anew:
        kind = ""
    main, *rest = words
    images, names = [main], []
    for word in rest:
        if several or _is_here(paths, word):
            images.append(word)
        else:
            names.append(str(parse_reference(word)))
    if len(images) > 1 and output_format == "docker-dir":
        raise Usage("docker-dir holds one image", remedy="save them one by one, or as docker-archive")
    saved: dict[str, SavedImage] = {}
    for word in images:
        one = read_saved(paths, word, kind=kind, extra_names=tuple(names) if word == main else ())
        before = saved.get(one.digest)
        saved[one.digest] = one.replace(names=tuple(dict.fromkeys((*before.names, *one.names)))) if before else one
    return tuple(saved.values())


def _is_here(paths: Paths, word: str) -> bool:
    from rootless_pod.errors import NotFound

    try:
        lookup_named(paths, word)
    except NotFound:
        return False
    return True


def save(images: tuple[SavedImage, ...], *, output_format: str, output: str | BinaryIO) -> None:
    """Write ``images`` to a path, or to an open file where the format is an archive.

    An archive with a path is written beside it and renamed: after a failure the old file stands.

    Raises:
        Usage: a directory format without a path.
        HostUnready: the target can't be written.
    """
    if output_format in ("oci-dir", "docker-dir"):
        if not isinstance(output, str):
            raise Usage(f"{output_format} needs a directory", remedy="give one with -o DIR")
        _check_empty(output)
        if output_format == "docker-dir":
            write_directory(output, images[0])
        else:
            _write_layout(output, images)
        return
    write = write_oci_archive if output_format == "oci-archive" else write_docker_archive
    if not isinstance(output, str):
        write(output, images)
        return
    if os.path.exists(output) and not os.path.isfile(output):
        # A device, a pipe or the like: nothing to rename.
        with open(output, "wb") as file:
            write(file, images)
        return
    _write_beside(output, lambda file: write(file, images))


def save_compressed(paths: Paths, image: SavedImage, output: str) -> None:
    """Write a ``docker-dir`` whose layers are all packed with gzip; those that are stay as they are.

    Raises:
        Conflict: the directory is not empty.
        HostUnready: it can't be written.
    """
    from rootless_pod.image.ends import local_source
    from rootless_pod.image.formats.writers import DirectoryDestination
    from rootless_pod.image.recompress import Compression
    from rootless_pod.image.transfer import TransferOptions, transfer

    _check_empty(output)
    options = TransferOptions(manifest_format="v2s2", compression=Compression(kind="gzip", force=True))
    with DirectoryDestination(output) as place:
        transfer(local_source(paths, image.manifest.config.hex).source, place, options)


def _write_beside(path: str, write: Callable[[BinaryIO], None]) -> None:
    directory, name = os.path.split(os.path.abspath(path))
    temporary = f"{directory}/.{name}.{os.getpid()}.tmp"
    try:
        with open(temporary, "xb") as file:
            write(file)
        os.rename(temporary, path)
    except BaseException as cause:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        if isinstance(cause, OSError):
            raise disk_error(cause, f"cannot write {path}", directory) from cause
        raise


def _check_empty(path: str) -> None:
    if os.path.isdir(path) and os.listdir(path):
        raise Conflict(f"directory {path} is not empty", remedy="give a new or empty directory")
    if os.path.lexists(path) and not os.path.isdir(path):
        raise Conflict(f"{path} is not a directory", remedy="give a new or empty directory")


def _write_layout(path: str, images: tuple[SavedImage, ...]) -> None:
    try:
        os.makedirs(f"{path}/blobs/sha256", exist_ok=True)
        written: set[str] = set()
        for image in images:
            for digest, _size, opened in image.blobs():
                if digest not in written:
                    written.add(digest)
                    with opened() as file:
                        copy_file(file, f"{path}/blobs/{digest.replace(':', '/')}")
        for name, data in layout_documents(images).items():
            with open(f"{path}/{name}", "wb") as file:
                file.write(data)
    except OSError as cause:
        raise disk_error(cause, f"cannot write {path}", path) from cause
