"""Artifacts: what registries keep besides images. The same blobs, an entry of the index that no image command takes."""

from __future__ import annotations

import os

from rootless_pod.errors import Conflict, Corrupt, NotFound, Refused
from rootless_pod.frozen import Frozen
from rootless_pod.image.install import resolve, store_use_lock
from rootless_pod.image.layout import ARTIFACT, IndexEntry, disk_error, open_layout, user_layout
from rootless_pod.image.lists import bring_blobs
from rootless_pod.image.lookup import find_kept
from rootless_pod.image.source import VerifiedBlob
from rootless_pod.oci.manifest import Manifest, parse_manifest
from rootless_pod.oci.mediatype import CONFIGS
from rootless_pod.oci.reference import parse_reference, parse_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.image.registry.connect import Access
    from rootless_pod.oci.descriptor import Descriptor
    from rootless_pod.paths import Paths

TITLE = "org.opencontainers.image.title"


class Artifact(Frozen):
    """One artifact of the store."""

    entry: IndexEntry
    manifest: Manifest

    @property
    def size_bytes(self) -> int:
        """The sum of its blobs."""
        return sum(layer.size for layer in self.manifest.layers)

    @property
    def kind(self) -> str:
        """What it is: its artifact type, or the type of its config."""
        return self.manifest.artifact_type or self.manifest.config.media_type


def pull_artifact(paths: Paths, text: str, access: Access) -> Artifact:
    """Bring an artifact from a registry (or a transport-prefixed place) here, verified.

    Raises:
        NotFound: nothing has it.
        Refused: it is an image.
    """
    from rootless_pod.image.ends import open_source

    source = parse_source(text)
    if not source.transport:
        source = source.replace(transport="docker", rest=str(parse_reference(text)))
    opened = open_source(paths, source, access)
    try:
        resolved = resolve(opened.source, None)
        manifest = resolved.manifest
        if not manifest.artifact_type and manifest.config.media_type in CONFIGS:
            raise Refused(f"{text} is an image, not an artifact", remedy=f"run: rpod pull {text}")
        opened.check(resolved)
        name = str(parse_reference(source.rest)) if source.transport == "docker" else (opened.names or (None,))[0]
        layout = user_layout(paths)
        with store_use_lock(paths):
            bring_blobs(layout, opened.source, (manifest.config, *manifest.layers))
            layout.write_blob(resolved.data)
            entry = IndexEntry(
                digest=resolved.digest,
                media_type=manifest.media_type,
                size=len(resolved.data),
                name=name,
                annotations={ARTIFACT: "true"},
            )
            layout.update(lambda entries: [*(one for one in entries if not _replaced(one, entry)), entry])
        return Artifact(entry=entry, manifest=manifest)
    finally:
        opened.close()


def _replaced(old: IndexEntry, new: IndexEntry) -> bool:
    if new.name is None:
        return old.digest == new.digest
    if old.name == new.name and not old.is_artifact:
        raise Conflict(f"name {new.name} is that of an image here", remedy=f"run: rpod untag {new.name}")
    return old.name == new.name or (old.digest == new.digest and old.name is None)


def list_artifacts(paths: Paths) -> tuple[Artifact, ...]:
    """Return every artifact whose manifest can be read."""
    from rootless_pod.errors import RpodError

    layout = open_layout(paths)
    found = []
    for entry in layout.entries():
        if entry.is_artifact:
            try:
                found.append(Artifact(entry=entry, manifest=parse_manifest(layout.read_blob(entry.digest))))
            except RpodError:
                continue
    return tuple(found)


def find_artifact(paths: Paths, text: str) -> Artifact:
    """Return the artifact that a name or digest means (raises NotFound)."""
    kept = find_kept(paths, text)
    if kept is None or not kept.is_artifact:
        raise NotFound(f"no artifact {text!r} here", remedy=f"run: rpod artifact pull {text}", exit_code=125)
    return Artifact(entry=kept, manifest=parse_manifest(open_layout(paths).read_blob(kept.digest)))


def extract(paths: Paths, artifact: Artifact, target: str, *, title: str = "", digest: str = "") -> tuple[str, ...]:
    """Write the files of an artifact below the directory ``target``, or its one file to the path; return their paths.

    Files that are there are not replaced. ``title`` or ``digest`` choose one file.

    Raises:
        NotFound: it has no such file.
        Conflict: a file is in the way, or several files and no directory.
        Corrupt: a blob is damaged, or a title leads out of the directory.
    """
    layers = [
        one
        for one in artifact.manifest.layers
        if (not title or one.annotations.get(TITLE) == title) and (not digest or one.digest == digest)
    ]
    shown = artifact.entry.name or artifact.entry.digest
    if not layers:
        raise NotFound(
            f"artifact {shown} has no such file", remedy=f"see: rpod artifact inspect {shown}", exit_code=125
        )
    into_directory = os.path.isdir(target)
    if len(layers) > 1 and not into_directory:
        raise Conflict(
            f"artifact {shown} has {len(layers)} files, and {target} is no directory", remedy="make it: mkdir"
        )
    written = []
    for layer in layers:
        path = f"{target}/{_file_name(layer, shown)}" if into_directory else target
        _write(paths, layer, path)
        written.append(path)
    return tuple(written)


def _file_name(layer: Descriptor, shown: str) -> str:
    title = layer.annotations.get(TITLE) or layer.hex
    name = os.path.basename(title)
    if name != title or name in ("", ".", "..") or "\0" in name:
        raise Corrupt(
            f"artifact {shown} has a file called {title!r}", remedy="name one with --digest and a path for it"
        )
    return name


def _write(paths: Paths, layer: Descriptor, path: str) -> None:
    layout = open_layout(paths)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(layout.blob_path(layer.digest), "rb", buffering=0) as source, open(temporary, "xb") as file:
            verified = VerifiedBlob(source, layer)
            while data := verified.read(1 << 18):
                file.write(data)
            verified.finish()
        os.link(temporary, path)
    except FileExistsError as cause:
        raise Conflict(f"{path} exists", remedy="remove it, or give another place") from cause
    except OSError as cause:
        raise disk_error(cause, f"cannot write {path}", os.path.dirname(path) or ".") from cause
    finally:
        try:
            os.unlink(temporary)
        except OSError:
            pass
