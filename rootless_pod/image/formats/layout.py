"""OCI image layouts, as a directory or (``oci_archive``) in a tar. Source: OCI image-layout specification 1.1."""

from __future__ import annotations

from rootless_pod import jsontext
from rootless_pod.errors import Conflict, Corrupt, NotFound, RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.image.formats.tree import read_file
from rootless_pod.oci.manifest import parse_index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.image.formats.tree import FileReader, Tree
    from rootless_pod.oci.descriptor import Descriptor

REF_NAME = "org.opencontainers.image.ref.name"
# containerd and docker put the full name here and only the tag into REF_NAME.
FULL_NAME = "io.containerd.image.name"


class LayoutEntry(Frozen):
    """One descriptor of the layout's index and the names it has there."""

    descriptor: Descriptor
    ref_name: str = ""
    full_name: str = ""


def is_layout(tree: Tree) -> bool:
    """Whether the tree looks like an OCI image layout."""
    return tree.exists("oci-layout") and tree.exists("index.json")


def layout_entries(tree: Tree) -> tuple[LayoutEntry, ...]:
    """Return what the layout holds.

    Raises:
        Corrupt: it is no OCI image layout.
    """
    if not is_layout(tree):
        raise Corrupt(
            f"{tree.shown} is not an OCI image layout: oci-layout or index.json is missing",
            remedy="where you don't know the format, let it be found: rpod load -i PATH",
        )
    try:
        version = jsontext.loads(read_file(tree, "oci-layout"))["imageLayoutVersion"]
    except (ValueError, KeyError, TypeError) as cause:
        raise Corrupt(f"{tree.shown}: oci-layout is damaged") from cause
    if not str(version).startswith("1."):
        raise Corrupt(f"{tree.shown}: image layout version {version} is not supported")
    index = parse_index(read_file(tree, "index.json"))
    return tuple(
        LayoutEntry(
            descriptor=descriptor,
            ref_name=descriptor.annotations.get(REF_NAME, ""),
            full_name=descriptor.annotations.get(FULL_NAME, ""),
        )
        for descriptor in index.manifests
    )


def choose_entry(entries: tuple[LayoutEntry, ...], wanted: str, shown: str) -> LayoutEntry:
    """Return the entry called ``wanted``; without a name, the only one.

    Raises:
        NotFound: no such entry; the message lists what there is.
        Conflict: several, and none was named.
    """
    names = ", ".join(entry.ref_name or entry.full_name or entry.descriptor.digest for entry in entries)
    if wanted:
        for entry in entries:
            if wanted in (entry.ref_name, entry.full_name, entry.descriptor.digest):
                return entry
        raise NotFound(
            f"{shown} has no image {wanted!r}; it has: {names or 'none'}", remedy="name one it has", exit_code=125
        )
    if not entries:
        raise NotFound(f"{shown} has no image", remedy="export it anew, and name an image", exit_code=125)
    if len({entry.descriptor.digest for entry in entries}) > 1:
        raise Conflict(f"{shown} has several images: {names}", remedy="name one of them after a colon")
    return entries[0]


class LayoutSource:
    """One entry of a layout."""

    def __init__(self, tree: Tree, entry: LayoutEntry) -> None:
        """Read ``entry`` from ``tree``."""
        self._tree = tree
        self._entry = entry
        self.shown = tree.shown

    def manifest(self) -> tuple[bytes, str]:
        """Return the entry's manifest or index, verified."""
        return self.child_manifest(self._entry.descriptor), self._entry.descriptor.media_type

    def child_manifest(self, descriptor: Descriptor) -> bytes:
        """Return a manifest, verified against its descriptor."""
        from rootless_pod.oci.digest import Verifier

        data = read_file(self._tree, _blob(descriptor))
        verifier = Verifier(descriptor.digest, descriptor.size, what=f"{self.shown}: manifest")
        verifier.update(data)
        verifier.finish()
        return data

    def blob(self, descriptor: Descriptor) -> FileReader:
        """Open a blob.

        Raises:
            Corrupt: the layout does not have it.
        """
        try:
            return self._tree.open(_blob(descriptor))
        except NotFound as cause:
            raise Corrupt(f"{self.shown}: blob {descriptor.digest} is missing") from cause


def _blob(descriptor: Descriptor) -> str:
    return f"blobs/{descriptor.digest.replace(':', '/')}"


def local_name(entry: LayoutEntry, fallback: str) -> str | None:
    """Return the full name an entry gets here, or None.

    A whole name is taken as it is; a bare tag (``v1``) needs ``fallback``, the name of the layout's directory.
    """
    from rootless_pod.oci.reference import has_registry, parse_reference

    text = entry.full_name or entry.ref_name
    if not text:
        return None
    try:
        if entry.full_name or has_registry(text):
            return str(parse_reference(text))
        if "/" in text or ":" in text:
            return str(parse_reference(text, default_registry="localhost"))
        if fallback:
            return str(parse_reference(f"{fallback}:{text}", default_registry="localhost"))
        return str(parse_reference(text, default_registry="localhost"))
    except RpodError:
        return None
