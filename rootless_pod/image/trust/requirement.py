"""What a policy may ask of an image, as records. Source: containers-policy.json(5), "Policy Requirements"."""

from __future__ import annotations

from rootless_pod.errors import Refused
from rootless_pod.frozen import Frozen
from rootless_pod.image.trust.identity import SignedIdentity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias


class KeySource(Frozen):
    """Where public keys or certificates come from: files, or bytes in the policy itself."""

    paths: tuple[str, ...] = ()
    data: tuple[bytes, ...] = ()

    def read(self) -> tuple[tuple[str, bytes], ...]:
        """Return each source's name for messages and its bytes.

        Raises:
            Refused: a file can't be read.
        """
        found = []
        for path in self.paths:
            try:
                with open(path, "rb") as file:
                    found.append((path, file.read()))
            except (OSError, ValueError) as cause:
                raise Refused(
                    f"cannot read the key {path!r} that the policy names: {getattr(cause, 'strerror', cause)}",
                    remedy="put the public key there, or mend the policy; see: rpod image trust show",
                ) from cause
        return (*found, *(("the key in the policy", data) for data in self.data))


class Accept(Frozen):
    """``insecureAcceptAnything``."""

    type: str = "insecureAcceptAnything"


class Reject(Frozen):
    """``reject``."""

    type: str = "reject"


class SignedBy(Frozen):
    """``signedBy``: one simple signature by one of the OpenPGP keys."""

    keys: KeySource
    identity: SignedIdentity
    type: str = "signedBy"


class Fulcio(Frozen):
    """Short-lived certificates: their authority, and whom they must be for."""

    authority: KeySource
    oidc_issuer: str
    subject_email: str


class Pki(Frozen):
    """Certificates of one's own authority, and whom they must be for ("": not asked)."""

    roots: KeySource
    intermediates: KeySource
    subject_email: str = ""
    subject_hostname: str = ""


class SigstoreSigned(Frozen):
    """``sigstoreSigned``: one sigstore signature by a key, or by a certificate; logged by Rekor where ``rekor`` is."""

    identity: SignedIdentity
    keys: KeySource | None = None
    fulcio: Fulcio | None = None
    pki: Pki | None = None
    rekor: KeySource | None = None
    type: str = "sigstoreSigned"


if TYPE_CHECKING:
    Requirement: TypeAlias = Accept | Reject | SignedBy | SigstoreSigned
