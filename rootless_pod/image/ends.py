"""The two ends of a copy: from ``docker://…``, ``oci:…``, ``containers-storage:…`` to sources and destinations."""

from __future__ import annotations

import os
from functools import partial

from rootless_pod.config.registries import read_registries
from rootless_pod.errors import NotFound, Refused, RpodError, TimedOut, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.oci.reference import Reference, Source, parse_reference, parse_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.image.destination import ImageDestination
    from rootless_pod.image.install import Resolved
    from rootless_pod.image.registry.connect import Access
    from rootless_pod.image.source import ImageSource
    from rootless_pod.image.trust.verdict import Verdict
    from rootless_pod.paths import Paths


class OpenedSource(Frozen):
    """A source, the full names its image has, and what closes it. ``reference``: where in a registry it lies.

    ``check`` judges a manifest of it by the trust policy (raises Refused).
    """

    source: ImageSource
    names: tuple[str, ...] = ()
    close: Callable[[], None]
    check: Callable[[Resolved], Verdict | None]
    reference: Reference | None = None


def split_end(text: str) -> Source:
    """Return transport and rest of one end of ``copy``.

    Raises:
        Usage: there is no transport.
        Refused: it is none that rpod speaks.
    """
    end = parse_source(text)
    if not end.transport:
        raise Usage(
            f"{text!r} says no transport",
            remedy=f"write docker://{text} (registry) or containers-storage:{text} (here)",
        )
    if end.transport == "docker-daemon":
        raise Refused("docker-daemon: is not spoken here", remedy="use docker save and docker-archive: instead")
    if not end.rest:
        raise Usage(f"{end.transport}: needs a name or path", remedy=f"write {end.transport}:PATH")
    return end


def open_source(
    paths: Paths,
    end: Source,
    access: Access,
    *,
    policy_file: str | None = None,
) -> OpenedSource:
    """Open where a copy comes from; ``policy_file`` is judged by instead of the configured trust policy.

    Raises:
        NotFound, Corrupt, Conflict: as the transport finds it.
    """
    if end.transport == "docker":
        return _registry_source(parse_reference(end.rest), access, policy_file)
    if end.transport == "containers-storage":
        return local_source(paths, end.rest)
    from rootless_pod.image.formats.tree import ArchiveTree
    from rootless_pod.image.load import find_source

    found, tree = find_source(end, spool_dir=_spool_dir())
    close = tree.close if isinstance(tree, ArchiveTree) else _nothing

    def check(resolved: Resolved) -> Verdict:
        from rootless_pod.image.trust.check import check_local_image

        path, name = split_named(end.rest) if end.transport != "dir" else (end.rest, "")
        return check_local_image(resolved, end.transport, os.path.abspath(path), image=name, policy_file=policy_file)

    return OpenedSource(source=found.source, names=found.names, close=close, check=check)


def _nothing() -> None:
    pass


def _judged_before(_resolved: Resolved) -> None:
    """Accept what is in the store: it was judged when it came in."""


def local_source(paths: Paths, text: str) -> OpenedSource:
    """Return an image of the store (raises NotFound, Refused)."""
    from rootless_pod.image.layout import open_layout
    from rootless_pod.image.lookup import lookup_named
    from rootless_pod.image.stored import LocalSource

    image, name = lookup_named(paths, text)
    if image.is_host:
        raise Refused(
            "image host is this machine itself: there is nothing to copy",
            remedy="copy what you want out of a container: rpod cp NAME:PATH .",
        )
    names = (name,) if name and "@" not in name else ()
    source = LocalSource(open_layout(paths), image.manifest_digest, name or text)
    return OpenedSource(source=source, names=names, close=_nothing, check=_judged_before)


def _registry_source(reference: Reference, access: Access, policy_file: str | None) -> OpenedSource:
    """Return the first place (mirrors, then the registry) that has the manifest."""
    from rootless_pod.image.registry.client import RegistryClient
    from rootless_pod.image.registry.connect import open_session, repository_scope
    from rootless_pod.image.registry.source import RegistrySource
    from rootless_pod.image.trust.check import check_registry_image

    registries = read_registries()
    faults: list[RpodError] = []
    for endpoint in registries.endpoints(reference):
        there = endpoint.reference
        session = open_session(endpoint, registries, access, scopes=(repository_scope(there, "pull"),))
        client = RegistryClient.on(session, there.repository)
        source = RegistrySource(client, there.version, str(there))
        try:
            source.manifest()
        except (NotFound, Refused, TimedOut) as fault:
            faults.append(fault)
            continue
        names = (str(reference),) if reference.tag else ()
        check = partial(
            check_registry_image, reference=reference, endpoint=there, client=client, policy_file=policy_file
        )
        return OpenedSource(source=source, names=names, close=_nothing, check=check, reference=there)
    raise faults[-1]


def open_destination(
    end: Source, access: Access, *, names: tuple[str, ...] = (), source: OpenedSource | None = None, paths: Paths | None
) -> ImageDestination:
    """Return where a copy goes to (not the store: that installs); ``names`` are for formats that keep names.

    With ``paths`` blobs of other images in the store are mounted from their repositories.

    Raises:
        Usage, Conflict, Refused: the place can't be one.
    """
    if end.transport == "docker":
        return _registry_destination(parse_reference(end.rest), access, source, paths)
    from rootless_pod.image.formats import archive_writers, writers

    if end.transport == "dir":
        return writers.DirectoryDestination(end.rest)
    path, name = split_named(end.rest)
    if end.transport == "oci":
        return writers.LayoutDestination(path, name)
    if end.transport == "oci-archive":
        return archive_writers.OciArchiveDestination(path, name or (names[0] if names else ""))
    tags = (str(parse_reference(name)),) if name else names
    return archive_writers.DockerArchiveDestination(path, tags)


def split_named(rest: str) -> tuple[str, str]:
    """Split ``PATH[:NAME]``; a path that exists as it stands has no name behind it."""
    if os.path.lexists(rest):
        return rest, ""
    path, _colon, name = rest.partition(":")
    return path, name


def _registry_destination(
    reference: Reference, access: Access, source: OpenedSource | None, paths: Paths | None
) -> ImageDestination:
    from rootless_pod.image.registry.connect import open_session, repository_scope
    from rootless_pod.image.registry.destination import RegistryDestination

    registries = read_registries()
    # Mirrors are for pulling: the last place is the registry itself.
    endpoint = registries.endpoints(reference)[-1]
    there = endpoint.reference
    mounts: dict[str, str] = {}
    beside = ""
    if source is not None and source.reference is not None and source.reference.registry == there.registry:
        beside = source.reference.repository if source.reference.repository != there.repository else ""
    elif paths is not None:
        from rootless_pod.image.layout import open_layout
        from rootless_pod.image.stored import other_places

        for digest, name in other_places(open_layout(paths), reference).items():
            place = registries.endpoints(name)[-1].reference
            if place.registry == there.registry and place.repository != there.repository:
                mounts[digest] = place.repository
    sources = dict.fromkeys([*mounts.values(), *([beside] if beside else [])])
    scopes = [repository_scope(there, "pull,push"), *(f"repository:{one}:pull" for one in sources)]
    session = open_session(endpoint, registries, access, scopes=tuple(scopes[:_MOST_SCOPES]))
    return RegistryDestination(
        session,
        there.repository,
        there.version,
        shown=str(reference),
        endpoint=there,
        mounts=mounts,
        beside=beside,
        spool_dir=_spool_dir(),
    )


def _spool_dir() -> str:
    """Return the directory for files without a name: ``$TMPDIR``, else /var/tmp, which is on a disk."""
    return os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108 - they have no name


# A token server's address holds them all; what is left out is uploaded instead of mounted.
_MOST_SCOPES = 16
