"""Pull: from a name or a transport-prefixed source to images in the store."""

from __future__ import annotations

from rootless_pod.config.registries import read_registries
from rootless_pod.errors import NotFound, Refused, RpodError, TimedOut
from rootless_pod.frozen import Frozen
from rootless_pod.image.install import install, resolve
from rootless_pod.image.layout import open_layout
from rootless_pod.image.lookup import HOST_NAME, lookup
from rootless_pod.image.progress import choose_progress
from rootless_pod.image.shortname import Resolution, resolve_short_name
from rootless_pod.oci.reference import parse_reference, parse_source
from rootless_pod.state.events import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.config.registries import Endpoint, Registries
    from rootless_pod.image.registry.auth import Credentials
    from rootless_pod.image.registry.client import RegistryClient
    from rootless_pod.oci.image import Image
    from rootless_pod.oci.reference import Reference
    from rootless_pod.paths import Paths


class PullOptions(Frozen):
    """How to pull; ``None`` leaves a choice to the configuration."""

    platform: str | None = None
    quiet: bool = False
    tls_verify: bool | None = None
    authfile: str | None = None
    creds: str | None = None
    cert_dir: str | None = None
    all_tags: bool = False
    newer: bool = False
    single_id: bool = False
    signature_policy: str | None = None


def pull(paths: Paths, text: str, options: PullOptions) -> tuple[Image, ...]:
    """Bring the image(s) that ``text`` names here: a name, ``docker://…``, ``oci:…``, ``docker-archive:…``, ``dir:…``.

    Raises:
        NotFound: no registry has it.
        Refused, TimedOut, HostUnready, Corrupt: it could not be fetched or kept; the store is as it was.
    """
    source = parse_source(text)
    if source.transport not in ("", "docker"):
        from rootless_pod.image.load import load_source

        loaded = load_source(
            paths,
            source,
            platform=options.platform,
            single_id=options.single_id,
            quiet=options.quiet,
            signature_policy=options.signature_policy,
        )
        for one in loaded:
            emit(paths, "image", "pull", id=one.id, name=text)
        return loaded
    if text == HOST_NAME:
        return (lookup(paths, text),)
    registries = read_registries()
    name = source.rest
    resolution = Resolution(candidates=(parse_reference(name),))
    if not source.transport:
        resolution = resolve_short_name(registries, name)
    if options.all_tags:
        return _pull_all_tags(paths, resolution.candidates[0], registries, options)
    faults: list[RpodError] = []
    for candidate in resolution.candidates:
        try:
            image = pull_reference(paths, candidate, registries, options)
        except (NotFound, Refused, TimedOut) as fault:
            faults.append(fault)
        else:
            resolution.keep()
            emit(paths, "image", "pull", id=image.id, name=text)
            return (image,)
    if len(faults) == 1:
        raise faults[0]
    raise NotFound(
        f"cannot pull {text}: " + "; ".join(fault.message for fault in faults),
        remedy="write the registry too",
        exit_code=125,
    )


def _pull_all_tags(
    paths: Paths, reference: Reference, registries: Registries, options: PullOptions
) -> tuple[Image, ...]:
    last: RpodError | None = None
    for endpoint in registries.endpoints(reference):
        try:
            tags = make_client(endpoint, registries, options).tags()
        except (NotFound, Refused) as fault:
            last = fault
            continue
        named = (reference.replace(tag=tag, digest=None) for tag in tags)
        images = []
        for one in named:
            images.append(pull_reference(paths, one, registries, options))
            emit(paths, "image", "pull", id=images[-1].id, name=str(one))
        return tuple(images)
    assert last is not None
    raise last


def pull_reference(paths: Paths, reference: Reference, registries: Registries, options: PullOptions) -> Image:
    """Pull one full name from the first of its places (mirrors, then the registry) that has it.

    Raises:
        NotFound, Refused, TimedOut: what the registry itself said, when no place has it.
        Refused: the trust policy does not accept it; no layer was fetched.
    """
    progress = choose_progress(quiet=options.quiet)
    progress.note(f"Trying to pull {reference}...")
    faults: list[RpodError] = []
    for endpoint in registries.endpoints(reference):
        from rootless_pod.image.registry.source import RegistrySource
        from rootless_pod.image.trust.check import check_registry_image

        client = make_client(endpoint, registries, options)
        source = RegistrySource(client, endpoint.reference.version, str(endpoint.reference))
        try:
            resolved = resolve(source, options.platform)
        except (NotFound, Refused, TimedOut) as fault:
            faults.append(fault)
            continue
        verdict = check_registry_image(
            resolved,
            reference,
            endpoint=endpoint.reference,
            client=client,
            policy_file=options.signature_policy,
        )
        if options.newer:
            present = _same_here(paths, str(reference), resolved.digest)
            if present is not None:
                return present
        return install(
            paths,
            source,
            names=(str(reference),),
            single_id=options.single_id,
            progress=progress,
            resolved=resolved,
            verdict=verdict,
        )
    raise faults[-1]


def _same_here(paths: Paths, name: str, digest: str) -> Image | None:
    for entry in open_layout(paths).entries():
        if entry.name == name and entry.digest == digest:
            return lookup(paths, name)
    return None


def make_client(endpoint: Endpoint, registries: Registries, options: PullOptions) -> RegistryClient:
    """Return a client for one place, with the user's TLS and credential choices."""
    from rootless_pod.image.registry.client import RegistryClient
    from rootless_pod.image.registry.transport import TlsSettings, Transport

    insecure = endpoint.insecure if options.tls_verify is None else not options.tls_verify
    return RegistryClient(
        endpoint.reference.registry,
        endpoint.reference.repository,
        transport=Transport(TlsSettings(verify=not insecure, cert_dir=options.cert_dir)),
        credentials=_credentials(endpoint.reference, registries, options),
        insecure=insecure,
    )


def _credentials(
    reference: Reference, registries: Registries, options: PullOptions
) -> Callable[[], Credentials | None]:
    from rootless_pod.image.registry.auth import find_credentials, parse_creds

    if options.creds is not None:
        given = parse_creds(options.creds)
        return lambda: given
    return lambda: find_credentials(reference, authfile=options.authfile, helpers=registries.credential_helpers)
