"""Judge what is about to be installed, by the policy in force and before any of its layers is fetched.

What reads signatures is imported only when a policy asks for one: most accept everything.
"""

from __future__ import annotations

from rootless_pod.image.trust.policy import read_policy
from rootless_pod.image.trust.scope import path_scopes, registry_scopes
from rootless_pod.image.trust.signature import NoSignatures
from rootless_pod.image.trust.verdict import Subject, judge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.image.install import Resolved
    from rootless_pod.image.registry.client import RegistryClient
    from rootless_pod.image.registry.transport import Transport
    from rootless_pod.image.trust.registriesd import RegistriesD
    from rootless_pod.image.trust.signature import Signature, SignatureSource
    from rootless_pod.image.trust.verdict import Verdict
    from rootless_pod.oci.reference import Reference


class RegistrySignatures:
    """Those of an image in a registry: in its lookaside store, and beside it where registries.d says so."""

    def __init__(self, client: RegistryClient, endpoint: Reference) -> None:
        """Look where ``endpoint``, the place the image itself comes from, has them."""
        self._client = client
        self._endpoint = endpoint
        self._scopes = registry_scopes(endpoint)
        self._looked: list[str] = []

    def simple(self, digest: str) -> tuple[Signature, ...]:
        """Return those of the lookaside store."""
        return tuple(one for one in self._stored(digest, _configured()) if one.simple)

    def sigstore(self, digest: str) -> tuple[Signature, ...]:
        """Return those in the registry and in the lookaside store."""
        configured = _configured()
        found = tuple(one for one in self._stored(digest, configured) if not one.simple)
        if configured.attachments(self._scopes):
            from rootless_pod.image.trust.attachments import Attachments

            self._looked.append("beside the image in the registry")
            return (*found, *Attachments(self._client, self._endpoint.name).read(digest))
        self._looked.append("not beside the image: use-sigstore-attachments is off in registries.d")
        return found

    def _stored(self, digest: str, configured: RegistriesD) -> tuple[Signature, ...]:
        from rootless_pod.image.trust.lookaside import Lookaside

        store = Lookaside(configured.lookaside(self._scopes), self._endpoint.repository, _web)
        self._looked.append(store.shown)
        return store.read(digest)

    def places(self) -> str:
        """Say where was looked."""
        return "looked in: " + "; ".join(dict.fromkeys(self._looked))


def _configured() -> RegistriesD:
    from rootless_pod.image.trust.registriesd import read_registries_d

    return read_registries_d()


def _web() -> Transport:
    from rootless_pod.image.registry.transport import TlsSettings, Transport

    return Transport(TlsSettings())


def check_registry_image(
    resolved: Resolved,
    reference: Reference,
    *,
    endpoint: Reference,
    client: RegistryClient,
    policy_file: str | None = None,
) -> Verdict:
    """Judge an image of a registry: its name is ``reference``, it and its signatures come from ``endpoint``.

    Raises:
        Refused: the policy does not accept it, or a policy, key or signature can't be read.
    """
    return judge(
        read_policy(policy_file),
        Subject(
            shown=str(reference),
            transport="docker",
            scopes=registry_scopes(reference),
            identity=str(reference),
            digests=_digests(resolved),
            signatures=RegistrySignatures(client, endpoint),
        ),
    )


def check_local_image(
    resolved: Resolved, transport: str, path: str | None, *, image: str = "", policy_file: str | None = None
) -> Verdict:
    """Judge an image of ``dir:``, ``oci:``, ``oci-archive:`` or ``docker-archive:`` (``path`` None: standard input).

    Raises:
        Refused: the policy does not accept it, or a policy, key or signature can't be read.
    """
    has_scopes = path is not None and transport in ("dir", "oci", "oci-archive")
    signatures: SignatureSource = NoSignatures(transport)
    if transport == "dir" and path is not None:
        from rootless_pod.image.trust.lookaside import DirectorySignatures

        signatures = DirectorySignatures(path, resolved.index_digest or resolved.digest)
    return judge(
        read_policy(policy_file),
        Subject(
            shown=f"{transport}:{path or 'standard input'}" + (f":{image}" if image else ""),
            transport=transport,
            scopes=path_scopes(path or "/", image if transport != "dir" else "") if has_scopes else (),
            identity=None,
            digests=_digests(resolved),
            signatures=signatures,
        ),
    )


def _digests(resolved: Resolved) -> tuple[str, ...]:
    return (resolved.digest, *([resolved.index_digest] if resolved.index_digest else []))
