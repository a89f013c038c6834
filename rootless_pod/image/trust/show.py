"""The rows of ``image trust show``: what the policy says about each scope, and whose keys it names."""

from __future__ import annotations

from rootless_pod.errors import RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.image.trust.requirement import Accept, Reject, SignedBy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless_pod.image.trust.policy import Policy
    from rootless_pod.image.trust.registriesd import RegistriesD
    from rootless_pod.image.trust.requirement import Requirement, SigstoreSigned


class Row(Frozen):
    """One requirement of one scope, in podman's words."""

    transport: str
    name: str
    type: str
    key_id: str = ""
    store: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the row as ``--json`` prints it: empty fields are left out."""
        is_default = self.transport == "all"
        fields = {
            "transport": self.transport,
            "name": "* (default)" if is_default else self.name,
            "repo_name": self.name,
            "sigstore": self.store,
            "type": self.type,
            "gpg_id": self.key_id,
        }
        return {key: value for key, value in fields.items() if value or key in ("transport", "type")}


def rows(policy: Policy, stores: RegistriesD) -> Iterator[Row]:
    """Return the default's rows, then those of each transport and scope, sorted."""
    for requirement in policy.default:
        store = stores.default.lookaside or ""
        yield _row("all", "default", requirement, store if _is_signature(requirement) else "")
    for transport, rules in sorted(policy.transports.items()):
        for scope, requirements in sorted(rules.items()):
            store = stores.configured_lookaside((scope,)) if transport == "docker" else ""
            for requirement in requirements:
                shown = "repository" if transport == "docker" else transport
                yield _row(shown, scope, requirement, store if _is_signature(requirement) else "")


def _is_signature(requirement: Requirement) -> bool:
    return not isinstance(requirement, (Accept, Reject))


def _row(transport: str, name: str, requirement: Requirement, store: str) -> Row:
    if isinstance(requirement, Accept):
        return Row(transport=transport, name=name, type="accept")
    if isinstance(requirement, Reject):
        return Row(transport=transport, name=name, type="reject")
    if isinstance(requirement, SignedBy):
        return Row(transport=transport, name=name, type="signed", key_id=_owners(requirement), store=store)
    return Row(transport=transport, name=name, type="sigstoreSigned", key_id=_signer(requirement), store=store)


def _owners(requirement: SignedBy) -> str:
    """Return the mail addresses of the keys' owners; why there are none, if a key can't be read."""
    from rootless_pod.image.trust.openpgp import Keyring

    try:
        return ", ".join(Keyring.read(requirement.keys).user_ids())
    except RpodError as fault:
        return f"({fault.message})"


def _signer(requirement: SigstoreSigned) -> str:
    if requirement.fulcio is not None:
        return requirement.fulcio.subject_email
    if requirement.pki is not None:
        return requirement.pki.subject_email or requirement.pki.subject_hostname
    return "N/A"
