"""Load: images from archives and directories, the format found by looking."""

from __future__ import annotations

import os

from rootless_pod.errors import Corrupt, NotFound, Refused, RpodError, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.image.formats.directory import DirectorySource, is_directory_format
from rootless_pod.image.formats.docker_archive import (
    ArchivedImage,
    DockerArchiveSource,
    archived_images,
    choose_archived,
    is_docker_archive,
)
from rootless_pod.image.formats.layout import LayoutSource, choose_entry, is_layout, layout_entries, local_name
from rootless_pod.image.formats.tree import ArchiveTree, DirectoryTree, open_archive
from rootless_pod.image.install import install, resolve
from rootless_pod.image.layout import user_layout
from rootless_pod.image.progress import choose_progress
from rootless_pod.image.trust.check import check_local_image
from rootless_pod.oci.reference import Source, parse_reference
from rootless_pod.state.events import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from rootless_pod.image.formats.tree import Tree
    from rootless_pod.image.source import ImageSource
    from rootless_pod.oci.image import Image
    from rootless_pod.paths import Paths


FILE_TRANSPORTS = ("oci", "oci-archive", "docker-archive", "dir")


class Loaded(Frozen):
    """One image that came in, and the names it got."""

    image: Image
    names: tuple[str, ...]


class Found(Frozen):
    """One image in an archive or directory, not read yet."""

    source: ImageSource
    names: tuple[str, ...]
    transport: str
    path: str | None
    wanted: str = ""


class LoadOptions(Frozen):
    """How to install what was found."""

    platform: str | None = None
    single_id: bool
    quiet: bool
    signature_policy: str | None = None


def load_source(
    paths: Paths,
    source: Source,
    *,
    platform: str | None,
    single_id: bool,
    quiet: bool,
    signature_policy: str | None = None,
) -> tuple[Image, ...]:
    """Bring the image that a transport-prefixed name means here.

    Raises:
        NotFound: no such file or image in it.
        Conflict: it holds several images and none was named.
        Corrupt: it is damaged.
    """
    found, tree = find_source(source, spool_dir=_spool_dir(paths))
    try:
        options = LoadOptions(platform=platform, single_id=single_id, quiet=quiet, signature_policy=signature_policy)
        return tuple(one.image for one in _install(paths, (found,), options))
    finally:
        if isinstance(tree, ArchiveTree):
            tree.close()


def find_source(source: Source, *, spool_dir: str) -> tuple[Found, Tree]:
    """Open the archive or directory of a transport-prefixed name and find the one image meant.

    The caller closes the tree if it is an ``ArchiveTree``. Compressed archives are copied into ``spool_dir`` first.

    Raises:
        NotFound: no such file or image in it.
        Conflict: it holds several images and none was named.
        Corrupt: it is damaged.
    """
    if not source.rest:
        raise Usage(f"{source.transport}: needs a path", remedy=f"write {source.transport}:PATH")
    if source.transport not in FILE_TRANSPORTS:
        raise Refused(
            f"cannot read images from {source.transport}:",
            remedy="use docker://, oci:, oci-archive:, docker-archive: or dir:",
        )
    path, wanted = _split_path(source)
    tree: Tree
    tree = DirectoryTree(path) if source.transport in ("oci", "dir") else open_archive(path, spool_dir=spool_dir)
    try:
        return _choose(tree, source.transport, path, wanted), tree
    except BaseException:
        if isinstance(tree, ArchiveTree):
            tree.close()
        raise


def _split_path(source: Source) -> tuple[str, str]:
    if source.transport == "dir" or os.path.exists(source.rest):
        return source.rest, ""
    path, _colon, wanted = source.rest.partition(":")
    return path, wanted


def _spool_dir(paths: Paths) -> str:
    """Return the directory for unnamed copies: on the disk of the store, which must hold the image anyway."""
    return f"{user_layout(paths).root}/blobs"


def _choose(tree: Tree, transport: str, path: str, wanted: str) -> Found:
    if transport == "dir":
        name = _path_name(path, "latest")
        return Found(source=DirectorySource(tree), names=(name,) if name else (), transport=transport, path=path)
    if transport == "docker-archive":
        archived = choose_archived(archived_images(tree), wanted, tree.shown)
        names = (str(parse_reference(wanted)),) if wanted and wanted[0] != "@" else _names(archived)
        return Found(source=DockerArchiveSource(tree, archived), names=names, transport=transport, path=path)
    entry = choose_entry(layout_entries(tree), wanted, tree.shown)
    name = local_name(entry, os.path.abspath(path).lstrip("/") if transport == "oci" else "")
    if name is None and transport == "oci":
        name = _path_name(path, "latest")
    return Found(
        source=LayoutSource(tree, entry),
        names=(name,) if name else (),
        transport=transport,
        path=path,
        wanted=wanted,
    )


def _path_name(path: str, tag: str) -> str | None:
    try:
        return str(parse_reference(f"{os.path.abspath(path).lstrip('/')}:{tag}", default_registry="localhost"))
    except Usage:
        return None


def _names(archived: ArchivedImage) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(parse_reference(tag)) for tag in archived.repo_tags))


def load_file(
    paths: Paths,
    file: BinaryIO | str,
    *,
    platform: str | None = None,
    single_id: bool,
    quiet: bool,
    signature_policy: str | None = None,
) -> tuple[Loaded, ...]:
    """Load every image of an archive (an open file, or a path) or of a directory (a path).

    The format is found by looking: docker archive, OCI archive, OCI layout, ``dir:``; compressed or not.

    Raises:
        Corrupt: it is none of these, or damaged; nothing is named then.
        NotFound: no such file.
    """
    tree: Tree
    if isinstance(file, str):
        tree = DirectoryTree(file) if os.path.isdir(file) else open_archive(file, spool_dir=_spool_dir(paths))
        fallback = os.path.abspath(file).lstrip("/") if os.path.isdir(file) else ""
    else:
        tree, fallback = ArchiveTree(file, "standard input", spool_dir=_spool_dir(paths)), ""
    try:
        found = _every(tree, fallback, file if isinstance(file, str) else None)
        options = LoadOptions(platform=platform, single_id=single_id, quiet=quiet, signature_policy=signature_policy)
        loaded = _install(paths, found, options)
        for one in loaded:
            emit(paths, "image", "loadfromarchive", id=one.image.id, name=file if isinstance(file, str) else "")
        return loaded
    finally:
        if isinstance(tree, ArchiveTree):
            tree.close()


def _every(tree: Tree, fallback: str, path: str | None) -> tuple[Found, ...]:
    if is_docker_archive(tree):
        archived = archived_images(tree)
        return tuple(
            Found(source=DockerArchiveSource(tree, one), names=_names(one), transport="docker-archive", path=path)
            for one in archived
        )
    if is_layout(tree):
        names: dict[str, list[str]] = {}
        entries = layout_entries(tree)
        for entry in entries:
            name = local_name(entry, fallback)
            names.setdefault(entry.descriptor.digest, []).extend([name] if name else [])
        first = {entry.descriptor.digest: entry for entry in reversed(entries)}
        return tuple(
            Found(
                source=LayoutSource(tree, first[digest]),
                names=tuple(dict.fromkeys(own)),
                transport="oci" if fallback else "oci-archive",
                path=path,
                wanted=first[digest].ref_name,
            )
            for digest, own in names.items()
        )
    if is_directory_format(tree):
        name = _path_name(fallback, "latest") if fallback else None
        names_of_it = (name,) if name else ()
        return (Found(source=DirectorySource(tree), names=names_of_it, transport="dir", path=path),)
    raise Corrupt(
        f"{tree.shown} holds no image: it is neither a docker archive, an OCI archive or layout, nor a dir: directory",
        remedy="make one with: podman save, skopeo copy or docker save; a plain root file system needs rpod import",
    )


def _install(paths: Paths, found: tuple[Found, ...], options: LoadOptions) -> tuple[Loaded, ...]:
    """Judge and install one after the other."""
    loaded: list[Loaded] = []
    if not found:
        raise NotFound("the archive holds no image", remedy="export it anew, and name an image", exit_code=125)
    for one in found:
        try:
            resolved = resolve(one.source, options.platform)
            verdict = check_local_image(
                resolved, one.transport, one.path, image=one.wanted, policy_file=options.signature_policy
            )
            image = install(
                paths,
                one.source,
                names=one.names,
                single_id=options.single_id,
                progress=choose_progress(quiet=options.quiet),
                resolved=resolved,
                verdict=verdict,
            )
        except RpodError as fault:
            if loaded:
                done = ", ".join(name for each in loaded for name in each.names or (each.image.id[:12],))
                fault.message += f" (loaded before it: {done})"
            raise
        loaded.append(Loaded(image=image, names=one.names))
    return tuple(loaded)
