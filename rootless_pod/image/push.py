"""Push and copy: an image from one end to another, its blobs as they are unless asked otherwise."""

from __future__ import annotations

from rootless_pod.errors import Refused, RpodError, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.image.ends import local_source, open_destination, open_source, split_end
from rootless_pod.image.install import install, resolve, store_use_lock
from rootless_pod.image.progress import choose_progress
from rootless_pod.image.registry.connect import Access
from rootless_pod.image.transfer import TransferOptions, Transferred, check_options, transfer
from rootless_pod.oci.reference import Source, has_registry, parse_reference, parse_source
from rootless_pod.state.events import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.image.ends import OpenedSource
    from rootless_pod.image.sign import Signing
    from rootless_pod.paths import Paths


class CopyOptions(Frozen):
    """How to copy: the transfer itself, how to reach the registries at either end, and who signs (None: nobody)."""

    transfer: TransferOptions = TransferOptions()
    source: Access = Access()
    destination: Access = Access()
    quiet: bool = False
    single_id: bool = False
    signature_policy: str | None = None
    signing: Signing | None = None


def push(paths: Paths, image: str, destination: str, options: CopyOptions) -> Transferred:
    """Push an image of the store to ``destination`` ("": the registry its name says).

    Raises:
        NotFound: no such image.
        Usage: nothing says where to.
        Refused, Unreachable, Corrupt, HostUnready: the destination did not take it.
    """
    opened = local_source(paths, image)
    end = parse_source(destination) if destination else Source(transport="docker", rest=_own_place(opened, image))
    if not end.transport:
        end = Source(transport="docker", rest=_with_registry(end.rest))
    elif end.transport == "containers-storage":
        raise Usage("a push goes out of the store", remedy=f"run: rpod tag {image} {end.rest}")
    else:
        end = split_end(destination or f"docker://{end.rest}")
    with store_use_lock(paths):
        done = send(paths, opened, end, options.replace(transfer=options.transfer.replace(packs=True)))
    emit(paths, "image", "push", id=_id_of(paths, image), name=destination or f"{end.transport}://{end.rest}")
    return done


def _id_of(paths: Paths, image: str) -> str:
    """Return the id of what was pushed; "" if it is gone by now."""
    from rootless_pod.image.lookup import find_kept, lookup

    try:
        kept = find_kept(paths, image)
        return kept.digest.removeprefix("sha256:") if kept is not None else lookup(paths, image).id
    except RpodError:
        return ""


def _own_place(opened: OpenedSource, image: str) -> str:
    """Return the image's name if it names a registry."""
    if not opened.names:
        raise Usage(f"{image} has no name that says where to push", remedy=f"run: rpod push {image} REGISTRY/NAME:TAG")
    name = opened.names[0]
    if name.startswith("localhost/"):
        raise Usage(f"{name} is a name for here, not in a registry", remedy=f"run: rpod push {image} REGISTRY/NAME:TAG")
    return name


def _with_registry(name: str) -> str:
    if not has_registry(name.partition("@")[0]):
        raise Usage(f"destination {name!r} names no registry", remedy=f"write REGISTRY/{name} or docker.io/{name}")
    return name


def copy(paths: Paths, source: str, destination: str, options: CopyOptions) -> Transferred:
    """Copy between any two transports without unpacking; ``containers-storage:`` is the user's store.

    Raises:
        NotFound, Usage, Refused, Unreachable, Corrupt, HostUnready: one of the ends does not allow it.
    """
    start, end = split_end(source), split_end(destination)
    opened = open_source(paths, start, options.source, policy_file=options.signature_policy)
    try:
        if end.transport == "containers-storage":
            return _keep(paths, opened, end, options)
        if start.transport != "containers-storage":
            return send(None, opened, end, options)
        with store_use_lock(paths):
            return send(paths, opened, end, options)
    finally:
        opened.close()


def send(paths: Paths | None, opened: OpenedSource, end: Source, options: CopyOptions) -> Transferred:
    """Bring what is opened to another end (not the store), signed where that is asked for.

    ``paths``: the store, where it comes from there (whoever calls holds its use lock).

    Raises:
        Refused, Unreachable, Corrupt, HostUnready, NotFound: the destination or the signer did not take it.
    """
    place = open_destination(end, options.destination, names=opened.names, source=opened, paths=paths)
    check_options(options.transfer, place)
    signer = None
    if options.signing is not None:
        from rootless_pod.image.sign import open_signing

        signer = open_signing(options.signing, end, place)
    with place:
        progress = choose_progress(quiet=options.quiet)
        return transfer(opened.source, place, options.transfer, progress, opened.check, signer)


def _keep(paths: Paths, opened: OpenedSource, end: Source, options: CopyOptions) -> Transferred:
    """Put a copy into the store, where it is unpacked too: an image there is one that can run."""
    asked = options.transfer
    if asked.all_platforms:
        raise Refused("the store keeps one platform of an image", remedy="leave out --all, or choose with --platform")
    if asked.manifest_format or asked.compression.kind or asked.compression.force:
        raise Refused("the store keeps images as they are", remedy="leave out --format and --compression-format")
    if options.signing is not None:
        raise Refused("the store keeps no signatures of its own", remedy="sign the image when it is pushed")
    resolved = resolve(opened.source, asked.platform)
    image = install(
        paths,
        opened.source,
        names=(str(parse_reference(end.rest, default_registry="localhost")),),
        single_id=options.single_id,
        progress=choose_progress(quiet=options.quiet),
        resolved=resolved,
        verdict=opened.check(resolved),
    )
    return Transferred(digest=image.manifest_digest, media_type=image.manifest_media_type, unchanged=True)
