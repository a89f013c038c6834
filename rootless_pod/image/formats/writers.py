"""Directories as destinations: an OCI image layout that may hold more already, and skopeo's ``dir:``."""

from __future__ import annotations

import fcntl
import os
from abc import ABC, abstractmethod

from rootless_pod import jsontext
from rootless_pod.errors import Conflict, Corrupt, Refused
from rootless_pod.image.destination import Place, write_file_beside
from rootless_pod.image.formats.layout import REF_NAME
from rootless_pod.image.layout import disk_error
from rootless_pod.oci.mediatype import OCI_INDEX
from rootless_pod.state.record import read_bytes, write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from rootless_pod.image.source import BlobReader
    from rootless_pod.oci.descriptor import Descriptor

_WORKERS = 4
_VERSION = b"Directory Transport Version: 1.1\n"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class _Directory(Place, ABC):
    """Blobs as files; what fails leaves whole blobs only, which nothing names."""

    workers = _WORKERS

    def __init__(self, path: str) -> None:
        self.path = path
        self.shown = path
        self.spool_dir = path

    def __enter__(self) -> Self:
        try:
            os.makedirs(self.path, exist_ok=True)
        except OSError as cause:
            raise disk_error(cause, f"cannot make {self.path}", self.path) from cause
        return self

    @abstractmethod
    def blob_path(self, descriptor: Descriptor) -> str:
        """Return where the blob lies in this kind of directory."""

    def has_blob(self, descriptor: Descriptor) -> str:
        try:
            there = os.stat(self.blob_path(descriptor)).st_size == descriptor.size
        except OSError:
            return ""
        return "skipped: already exists" if there else ""

    def put_blob(
        self, descriptor: Descriptor, opened: Callable[[], BlobReader], on_progress: Callable[[int], None]
    ) -> None:
        target = self.blob_path(descriptor)
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            write_file_beside(target, opened(), on_progress)
        except OSError as cause:
            raise disk_error(cause, f"cannot write {self.path}", self.path) from cause

    def write(self, name: str, data: bytes) -> None:
        try:
            os.makedirs(os.path.dirname(f"{self.path}/{name}"), exist_ok=True)
            write_bytes(f"{self.path}/{name}", data, mode=0o644)
        except OSError as cause:
            raise disk_error(cause, f"cannot write {self.path}", self.path) from cause


class LayoutDestination(_Directory):
    """An OCI image layout; the images that are in it stay, one with the same name loses it."""

    def __init__(self, path: str, name: str) -> None:
        """Write to the directory ``path`` (made if missing) under ``name`` ("": without one).

        Raises:
            Conflict: it is something else.
        """
        super().__init__(path)
        self._name = name
        self._top: dict[str, Any] = {}
        if os.path.lexists(path) and not os.path.isdir(path):
            raise Conflict(f"{path} is not a directory", remedy="give a new directory, or an OCI image layout")
        if os.path.isdir(path) and os.listdir(path) and not os.path.exists(f"{path}/oci-layout"):
            raise Conflict(f"directory {path} is not empty and no OCI image layout", remedy="give another directory")

    def blob_path(self, descriptor: Descriptor) -> str:
        """Return where a blob lies."""
        return f"{self.path}/blobs/{descriptor.digest.replace(':', '/')}"

    def put_manifest(self, data: bytes, descriptor: Descriptor, *, top: bool) -> None:
        """Write it as a blob; the top one is named by ``commit``."""
        self.write(f"blobs/{descriptor.digest.replace(':', '/')}", data)
        if top:
            self._top = {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}
            if descriptor.artifact_type:
                self._top["artifactType"] = descriptor.artifact_type
            if self._name:
                self._top["annotations"] = {REF_NAME: self._name}

    def commit(self) -> None:
        """Enter the image into ``index.json`` (raises Corrupt where that is damaged)."""
        if not os.path.exists(f"{self.path}/oci-layout"):
            self.write("oci-layout", _LAYOUT)
        lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            index = self._read_index()
            entries = [one for one in index["manifests"] if not self._replaces(one)]
            index["manifests"] = [*entries, self._top]
            self.write("index.json", jsontext.dumps(index).encode())
        finally:
            os.close(lock)

    def _replaces(self, entry: dict[str, Any]) -> bool:
        """Tell whether an entry has our name, or has none and is the same manifest."""
        annotations = entry.get("annotations") or {}
        name = annotations.get(REF_NAME, "")
        return bool(name == self._name and (name or entry.get("digest") == self._top["digest"]))

    def _read_index(self) -> dict[str, Any]:
        try:
            index = jsontext.loads(read_bytes(f"{self.path}/index.json"))
            if not all(isinstance(one, dict) for one in index["manifests"]):
                raise TypeError("an entry is no object")
        except FileNotFoundError:
            return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
        except (ValueError, KeyError, TypeError) as cause:
            raise Corrupt(f"{self.path}/index.json is damaged: {cause}", remedy="give another directory") from cause
        found: dict[str, Any] = index
        return found


class DirectoryDestination(_Directory):
    """skopeo's ``dir:``: one image (or list) with all its files in one directory."""

    takes_urls = True
    schema1_name: tuple[str, str] | None = ("", "")

    def __init__(self, path: str) -> None:
        """Write to ``path``: new, empty, or of this format (its image is replaced).

        Raises:
            Conflict: there is something else.
        """
        super().__init__(path)
        self._manifest = b""
        self._beside: dict[str, bytes] = {}
        if os.path.lexists(path) and not os.path.isdir(path):
            raise Conflict(f"{path} is not a directory", remedy="give a new or empty directory")
        self._before = tuple(os.listdir(path)) if os.path.isdir(path) else ()
        if self._before and "version" not in self._before:
            raise Conflict(f"directory {path} is not empty", remedy="give a new or empty directory")
        self._kept = {"version", "manifest.json"}

    def blob_path(self, descriptor: Descriptor) -> str:
        """Return where a blob lies."""
        if not descriptor.digest.startswith("sha256:"):
            raise Refused(f"dir: keeps sha256 only, not {descriptor.digest}", remedy="use oci: instead")
        self._kept.add(descriptor.hex)
        return f"{self.path}/{descriptor.hex}"

    def put_manifest(self, data: bytes, descriptor: Descriptor, *, top: bool) -> None:
        """Keep the top one for ``commit``; write one of a list."""
        if top:
            self._manifest = data
            return
        name = f"{descriptor.hex}.manifest.json"
        self._kept.add(name)
        self.write(name, data)

    def keep(self, name: str, data: bytes) -> None:
        """Have ``commit`` write a file beside the manifest: a signature."""
        self._beside[name] = data
        self._kept.add(name)

    def commit(self) -> None:
        """Write the manifest and remove the files of the image that was here before."""
        self.write("version", _VERSION)
        for name, data in self._beside.items():
            self.write(name, data)
        self.write("manifest.json", self._manifest)
        for name in self._before:
            if name not in self._kept and _is_own(name):
                os.unlink(f"{self.path}/{name}")


def _is_own(name: str) -> bool:
    """Tell whether the format gives files such a name."""
    stem = name.removesuffix(".manifest.json")
    owner, _signature, number = name.rpartition("signature-")
    if number.isdigit() and not owner:
        return True
    if number.isdigit() and owner.endswith("-"):
        stem = owner.removesuffix("-")
    return len(stem) == 64 and set(stem) <= frozenset("0123456789abcdef")
