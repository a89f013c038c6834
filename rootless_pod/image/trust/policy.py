"""policy.json: what must hold for an image from which place. Source: containers-policy.json(5).

The file is read strictly: what this version does not know refuses everything, so that a rule is never passed over.
"""

from __future__ import annotations

import os

from rootless_pod.config.search import user_config
from rootless_pod.errors import Refused
from rootless_pod.frozen import Frozen
from rootless_pod.image.trust.identity import SignedIdentity, parse_identity
from rootless_pod.image.trust.requirement import Accept, Fulcio, KeySource, Pki, Reject, SignedBy, SigstoreSigned
from rootless_pod.image.trust.strictjson import Malformed, as_list, as_object, check_fields, one_of, parse_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.image.trust.requirement import Requirement

SYSTEM_POLICY = "/etc/containers/policy.json"
_KEYS: dict[str, type] = {"keyPath": str, "keyPaths": list, "keyData": str}
_SIGSTORE_KEYS: dict[str, type] = {**_KEYS, "keyDatas": list}
_REKOR: dict[str, type] = {
    "rekorPublicKeyPath": str,
    "rekorPublicKeyPaths": list,
    "rekorPublicKeyData": str,
    "rekorPublicKeyDatas": list,
}
_ONLY_DEFAULT = ("docker-archive", "tarball")


class Rule(Frozen):
    """The requirements that apply to an image, and where in the policy they stand."""

    requirements: tuple[Requirement, ...]
    transport: str = ""
    scope: str = ""

    @property
    def where(self) -> str:
        """The rule's place in words."""
        if not self.transport:
            return "default"
        return f"transports.{self.transport}[{self.scope!r}]"


class Policy(Frozen):
    """One policy file (``path`` is "" for the policy of a machine that has none)."""

    default: tuple[Requirement, ...] = (Accept(),)
    transports: dict[str, dict[str, tuple[Requirement, ...]]] = {}
    path: str = ""

    def find(self, transport: str, scopes: tuple[str, ...]) -> Rule:
        """Return the rule of the most specific scope; ``scopes`` come most specific first."""
        rules = self.transports.get(transport, {})
        for scope in (*scopes, ""):
            if scope in rules:
                return Rule(requirements=rules[scope], transport=transport, scope=scope)
        return Rule(requirements=self.default)


def user_policy() -> str:
    """Return where the user's own policy lies."""
    return f"{user_config()}/policy.json"


def find_policy(given: str | None = None, *, system: str = SYSTEM_POLICY) -> str | None:
    """Return the policy file in force: the given one, the user's, the machine's; None where there is none."""
    if given:
        return given
    return next((path for path in (user_policy(), system) if os.path.lexists(path)), None)


def read_policy(given: str | None = None, *, system: str = SYSTEM_POLICY) -> Policy:
    """Read the policy in force; a machine without any has what containers ships: everything is accepted.

    Raises:
        Refused: the file can't be read or is not valid; file and field are named.
    """
    path = find_policy(given, system=system)
    if path is None:
        return Policy()
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as cause:
        raise Refused(
            f"cannot read the trust policy {path}: {cause.strerror}", remedy=f"make {path} readable, or remove it"
        ) from cause
    try:
        return parse_policy(data, path)
    except Malformed as cause:
        raise Refused(
            f"the trust policy {path} is not valid, so no image is trusted: {cause}",
            remedy=f"mend {path}; see docs/trust.md or containers-policy.json(5)",
        ) from cause


def parse_policy(data: bytes, path: str) -> Policy:
    """Parse a policy file's bytes.

    Raises:
        Malformed: the text names the field.
    """
    table = parse_object(data, "the file")
    check_fields(table, "the file", required={"default": list}, optional={"transports": dict})
    transports: dict[str, dict[str, tuple[Requirement, ...]]] = {}
    for transport, scopes in table.get("transports", {}).items():
        where = f"transports.{transport}"
        rules = transports[transport] = {}
        for scope, listed in as_object(scopes, where).items():
            _check_scope(transport, scope, where)
            rules[scope] = _requirements(listed, f"{where}[{scope!r}]")
    return Policy(default=_requirements(table["default"], "default"), transports=transports, path=path)


def _check_scope(transport: str, scope: str, where: str) -> None:
    if scope == "":
        return
    if transport in _ONLY_DEFAULT:
        raise Malformed(f"{where}: scope {scope!r}: {transport} has no scope but the empty one")
    if transport in ("dir", "oci", "oci-archive"):
        path = scope if transport == "dir" else _path_part(scope)
        if not path.startswith("/") or path == "/" or os.path.normpath(path) != path:
            raise Malformed(f'{where}: scope {scope!r} is not an absolute, plain path below / (use "" for all)')
    if transport in ("docker", "atomic") and "*" in scope and ("*" in scope[1:] or not scope.startswith("*.")):
        raise Malformed(f"{where}: scope {scope!r}: a wildcard stands alone in front, as in *.example.com")


def _path_part(scope: str) -> str:
    """Return ``DIRECTORY`` of ``DIRECTORY[:TAG]``."""
    directory, colon, tag = scope.rpartition(":")
    return directory if colon and "/" not in tag else scope


def _requirements(value: object, where: str) -> tuple[Requirement, ...]:
    listed = as_list(value, where)
    return tuple(_requirement(as_object(one, f"{where}[{n}]"), f"{where}[{n}]") for n, one in enumerate(listed))


def _requirement(value: dict[str, Any], where: str) -> Requirement:
    kind = value.get("type")
    if kind in ("insecureAcceptAnything", "reject"):
        check_fields(value, where, required={"type": str})
        return Accept() if kind == "insecureAcceptAnything" else Reject()
    if kind == "signedBy":
        return _signed_by(value, where)
    if kind == "sigstoreSigned":
        return _sigstore_signed(value, where)
    raise Malformed(
        f"{where}: type {kind!r} is none of insecureAcceptAnything, reject, signedBy, sigstoreSigned"
        if kind is not None
        else f"{where}: field 'type' is missing"
    )


def _signed_by(value: dict[str, Any], where: str) -> SignedBy:
    check_fields(value, where, required={"type": str, "keyType": str}, optional={**_KEYS, "signedIdentity": dict})
    if value["keyType"] != "GPGKeys":
        raise Malformed(f"{where}: keyType {value['keyType']!r} is not supported, only GPGKeys")
    keys = _source(value, where, tuple(_KEYS))
    assert keys is not None
    return SignedBy(keys=keys, identity=_identity(value, where))


def _sigstore_signed(value: dict[str, Any], where: str) -> SigstoreSigned:
    optional = {**_SIGSTORE_KEYS, **_REKOR, "fulcio": dict, "pki": dict, "signedIdentity": dict}
    check_fields(value, where, required={"type": str}, optional=optional)
    chosen = one_of(value, where, (*_SIGSTORE_KEYS, "fulcio", "pki"))
    rekor = _source(value, where, tuple(_REKOR), needed=False)
    identity = _identity(value, where)
    if chosen == "fulcio":
        if rekor is None:
            raise Malformed(f"{where}: fulcio needs a Rekor public key, whose log says when a certificate was used")
        return SigstoreSigned(fulcio=_fulcio(value["fulcio"], f"{where}.fulcio"), rekor=rekor, identity=identity)
    if chosen == "pki":
        if rekor is not None:
            raise Malformed(f"{where}: a Rekor public key is not supported beside pki")
        return SigstoreSigned(pki=_pki(value["pki"], f"{where}.pki"), identity=identity)
    return SigstoreSigned(keys=_source(value, where, tuple(_SIGSTORE_KEYS)), rekor=rekor, identity=identity)


def _fulcio(value: dict[str, Any], where: str) -> Fulcio:
    names = ("caPath", "caData")
    check_fields(value, where, required={"oidcIssuer": str, "subjectEmail": str}, optional=dict.fromkeys(names, str))
    for field in ("oidcIssuer", "subjectEmail"):
        if not value[field]:
            raise Malformed(f"{where}.{field} is empty")
    authority = _source(value, where, names)
    assert authority is not None
    return Fulcio(authority=authority, oidc_issuer=value["oidcIssuer"], subject_email=value["subjectEmail"])


def _pki(value: dict[str, Any], where: str) -> Pki:
    roots, intermediates = ("caRootsPath", "caRootsData"), ("caIntermediatesPath", "caIntermediatesData")
    subjects = ("subjectEmail", "subjectHostname")
    check_fields(value, where, required={}, optional=dict.fromkeys((*roots, *intermediates, *subjects), str))
    if not any(value.get(name) for name in subjects):
        raise Malformed(f"{where}: one of {', '.join(subjects)} is needed")
    trusted = _source(value, where, roots)
    assert trusted is not None
    return Pki(
        roots=trusted,
        intermediates=_source(value, where, intermediates, needed=False) or KeySource(),
        subject_email=value.get("subjectEmail", ""),
        subject_hostname=value.get("subjectHostname", ""),
    )


def _identity(value: dict[str, Any], where: str) -> SignedIdentity:
    if "signedIdentity" not in value:
        return SignedIdentity()
    return parse_identity(value["signedIdentity"], f"{where}.signedIdentity")


def _source(value: dict[str, Any], where: str, names: tuple[str, ...], *, needed: bool = True) -> KeySource | None:
    """Read the one of several fields that names files or holds base64."""
    name = one_of(value, where, names, needed=needed)
    if name is None:
        return None
    given = value[name]
    texts = as_list(given, f"{where}.{name}") if name.endswith("s") else [given]
    for text in texts:
        if not isinstance(text, str) or not text:
            raise Malformed(f"{where}: field {name!r} has an empty entry or one that is not a string")
    if "Path" in name:
        return KeySource(paths=tuple(texts))
    import base64

    try:
        return KeySource(data=tuple(base64.b64decode(text, validate=True) for text in texts))
    except ValueError as cause:
        raise Malformed(f"{where}: field {name!r} is not base64") from cause
