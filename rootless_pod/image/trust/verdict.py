"""Judge an image by a policy: every requirement must hold, for a signature it is enough that one is good."""

from __future__ import annotations

from rootless_pod import jsontext
from rootless_pod.errors import HostUnready, Refused
from rootless_pod.frozen import Frozen
from rootless_pod.image.trust.requirement import Accept, Reject, SignedBy
from rootless_pod.image.trust.strictjson import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless_pod.image.trust.policy import Policy, Rule
    from rootless_pod.image.trust.requirement import Requirement, SigstoreSigned
    from rootless_pod.image.trust.signature import Signature, SignatureSource


class Subject(Frozen):
    """An image to be judged. Only its top document's digests are known; nothing of it is unpacked.

    ``identity`` is its docker reference (None: it has none). ``digests`` are that of its manifest and, where that was
    chosen from an index, the index's: who signs an index signs what it lists.
    """

    shown: str
    transport: str
    scopes: tuple[str, ...]
    identity: str | None
    digests: tuple[str, ...]
    signatures: SignatureSource


class Verdict(Frozen):
    """Why an image was accepted: recorded with it, shown by ``inspect``."""

    requirements: tuple[str, ...]
    keys: tuple[str, ...] = ()
    signed_for: tuple[str, ...] = ()
    policy: str = ""
    rule: str = ""

    def to_text(self) -> str:
        """Return the verdict as compact JSON."""
        return jsontext.dumps(
            {
                "Requirements": list(self.requirements),
                "Keys": list(self.keys),
                "SignedFor": list(self.signed_for),
                "Policy": self.policy,
                "Rule": self.rule,
            }
        )


def read_verdict(text: str) -> dict[str, Any] | None:
    """Return what ``Verdict.to_text`` wrote, None if it is something else."""
    try:
        found = jsontext.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


class _Passed(Frozen):
    key: str
    signed_for: str


def judge(policy: Policy, subject: Subject) -> Verdict:
    """Return why the policy accepts the image.

    Raises:
        Refused: it does not, or a key or signature can't be read; the message says which rule and why.
        HostUnready: a library that checks such signatures is not installed.
    """
    rule = policy.find(subject.transport, subject.scopes)
    passed = []
    for requirement in rule.requirements:
        if isinstance(requirement, Reject):
            raise _refusal(policy, subject, rule, "it rejects every image there")
        if not isinstance(requirement, Accept):
            passed.append(_one_signature(requirement, policy, subject, rule))
    return Verdict(
        requirements=tuple(requirement.type for requirement in rule.requirements),
        keys=tuple(dict.fromkeys(one.key for one in passed)),
        signed_for=tuple(dict.fromkeys(one.signed_for for one in passed)),
        policy=policy.path,
        rule=rule.where,
    )


def _one_signature(requirement: SignedBy | SigstoreSigned, policy: Policy, subject: Subject, rule: Rule) -> _Passed:
    """Find a good signature of the manifest, else of the index it was chosen from."""
    reasons: list[str] = []
    check = _checker(requirement, subject)
    look = subject.signatures.simple if isinstance(requirement, SignedBy) else subject.signatures.sigstore
    for digest in subject.digests:
        for signature in look(digest):
            try:
                return check(signature, digest)
            except Malformed as fault:
                reasons.append(f"{signature.place}: {fault}")
    kind = "simple signature" if isinstance(requirement, SignedBy) else "sigstore signature"
    why = "; ".join(reasons) or f"it is not signed: no {kind} found ({subject.signatures.places()})"
    raise _refusal(policy, subject, rule, why)


def _checker(requirement: SignedBy | SigstoreSigned, subject: Subject) -> Callable[[Signature, str], _Passed]:
    from rootless_pod.image.trust.payload import SIMPLE, check_digest, parse_claim

    if isinstance(requirement, SignedBy):
        from rootless_pod.image.trust.openpgp import Keyring

        keyring = Keyring.read(requirement.keys)

        def simple(signature: Signature, digest: str) -> _Passed:
            opened = keyring.open(signature.data)
            claim = parse_claim(opened.payload, SIMPLE)
            check_digest(claim, digest)
            requirement.identity.check(claim.reference, subject.identity)
            return _Passed(key=opened.fingerprint, signed_for=claim.reference)

        return simple
    try:
        from rootless_pod.image.trust.sigstore import SigstoreVerifier
    except ImportError as cause:
        from rootless_pod.programs.package import how_to_install

        raise HostUnready(
            "the Python package cryptography is not installed: sigstore signatures can't be checked",
            remedy=how_to_install("cryptography"),
        ) from cause
    verifier = SigstoreVerifier(requirement)

    def sigstore(signature: Signature, digest: str) -> _Passed:
        vouched = verifier.open(signature)
        check_digest(vouched.claim, digest)
        requirement.identity.check(vouched.claim.reference, subject.identity)
        return _Passed(key=vouched.signer, signed_for=vouched.claim.reference)

    return sigstore


def _refusal(policy: Policy, subject: Subject, rule: Rule, why: str) -> Refused:
    asked = ", ".join(_type(requirement) for requirement in rule.requirements)
    place = f"{policy.path or 'the built-in policy'}, {rule.where} ({asked})"
    return Refused(
        f"the trust policy does not accept {subject.shown}: {why} [{place}]",
        remedy="get a signed image, or change what is trusted: rpod image trust show; rpod image trust set",
    )


def _type(requirement: Requirement) -> str:
    return requirement.type
