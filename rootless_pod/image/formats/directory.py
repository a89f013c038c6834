"""skopeo's ``dir:`` format: ``manifest.json`` and blobs called by their hex digest in one directory."""

from __future__ import annotations

import os

from rootless_pod.errors import Corrupt, NotFound
from rootless_pod.image.formats.tree import read_file
from rootless_pod.image.layout import disk_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from rootless_pod.image.formats.tree import FileReader, Tree
    from rootless_pod.image.save import SavedImage
    from rootless_pod.oci.descriptor import Descriptor

_VERSION = b"Directory Transport Version: 1.1\n"


def is_directory_format(tree: Tree) -> bool:
    """Whether the tree looks like skopeo's ``dir:``."""
    return tree.exists("manifest.json") and tree.exists("version")


class DirectorySource:
    """The one image of such a directory."""

    def __init__(self, tree: Tree) -> None:
        """Read from ``tree``.

        Raises:
            Corrupt: it is no such directory.
        """
        if not is_directory_format(tree):
            raise Corrupt(f"{tree.shown} is not in the dir: format: manifest.json or version is missing")
        self._tree = tree
        self.shown = tree.shown

    def manifest(self) -> tuple[bytes, str]:
        """Return the manifest; the format does not keep its media type."""
        return read_file(self._tree, "manifest.json"), ""

    def child_manifest(self, descriptor: Descriptor) -> bytes:
        """Return a manifest of the index (``HEX.manifest.json``)."""
        return read_file(self._tree, f"{descriptor.hex}.manifest.json")

    def blob(self, descriptor: Descriptor) -> FileReader:
        """Open a blob.

        Raises:
            Corrupt: the directory does not have it.
        """
        try:
            return self._tree.open(descriptor.hex)
        except NotFound as cause:
            raise Corrupt(f"{self.shown}: blob {descriptor.digest} is missing") from cause


def write_directory(path: str, image: SavedImage) -> None:
    """Write the image into the directory ``path`` (made; must be empty)."""
    try:
        os.makedirs(path, exist_ok=True)
        for digest, _size, opened in image.blobs():
            if digest != image.digest:
                with opened() as file:
                    copy_file(file, f"{path}/{digest.partition(':')[2]}")
        for name, data in (("manifest.json", image.data), ("version", _VERSION)):
            with open(f"{path}/{name}", "wb") as file:
                file.write(data)
    except OSError as cause:
        raise disk_error(cause, f"cannot write {path}", path) from cause


def copy_file(source: BinaryIO, target: str) -> None:
    """Write everything of ``source`` to the new file ``target``."""
    with open(target, "xb") as file:
        while data := source.read(1 << 20):
            file.write(data)
