"""From a name and the user's choices to a session with the registry that holds it."""

from __future__ import annotations

from rootless_pod.frozen import Frozen
from rootless_pod.image.registry.auth import find_credentials, parse_creds
from rootless_pod.image.registry.session import ATTEMPTS, FIRST_PAUSE_SECONDS, Session
from rootless_pod.image.registry.transport import TlsSettings, Transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.config.registries import Endpoint, Registries
    from rootless_pod.image.registry.auth import Credentials
    from rootless_pod.oci.reference import Reference


class Access(Frozen):
    """How to reach a registry; ``None`` leaves a choice to the configuration."""

    tls_verify: bool | None = None
    authfile: str | None = None
    creds: str | None = None
    cert_dir: str | None = None
    attempts: int = ATTEMPTS
    first_pause_seconds: float = FIRST_PAUSE_SECONDS


def open_session(
    endpoint: Endpoint, registries: Registries, access: Access, *, scopes: tuple[str, ...] = ()
) -> Session:
    """Return a session for one place; ``scopes`` is what its token must allow."""
    insecure = endpoint.insecure if access.tls_verify is None else not access.tls_verify
    return Session(
        endpoint.reference.registry,
        shown=endpoint.reference.name,
        transport=Transport(TlsSettings(verify=not insecure, cert_dir=access.cert_dir)),
        credentials=_credentials(endpoint.reference, registries, access),
        insecure=insecure,
        attempts=access.attempts,
        first_pause_seconds=access.first_pause_seconds,
        scopes=scopes,
    )


def _credentials(reference: Reference, registries: Registries, access: Access) -> Callable[[], Credentials | None]:
    if access.creds is not None:
        given = parse_creds(access.creds)
        return lambda: given
    return lambda: find_credentials(reference, authfile=access.authfile, helpers=registries.credential_helpers)


def repository_scope(reference: Reference, actions: str) -> str:
    """Return the scope of a token for a repository. Source: distribution, spec/auth/scope."""
    return f"repository:{reference.repository}:{actions}"
