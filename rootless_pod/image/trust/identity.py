"""Which name a signature must have been made for. Source: containers-policy.json(5), ``signedIdentity``."""

from __future__ import annotations

from rootless_pod.errors import Usage
from rootless_pod.frozen import Frozen
from rootless_pod.image.trust.strictjson import Malformed, check_fields
from rootless_pod.oci.reference import parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FIELDS: dict[str, dict[str, type]] = {
    "matchExact": {},
    "matchRepoDigestOrExact": {},
    "matchRepository": {},
    "exactReference": {"dockerReference": str},
    "exactRepository": {"dockerRepository": str},
    "remapIdentity": {"prefix": str, "signedPrefix": str},
}


class Name(Frozen):
    """A name as docker normalises it; ``version`` is ``:tag``, ``@digest``, both, or "" where the text had none."""

    repository: str
    version: str = ""

    def __str__(self) -> str:
        return self.repository + self.version


def parse_name(text: str) -> Name:
    """Parse a reference without giving it a tag it does not have.

    Raises:
        Malformed: it is no reference.
    """
    try:
        repository = parse_reference(text).name
    except Usage as cause:
        raise Malformed(cause.message) from cause
    bare, at, digest = text.partition("@")
    colon, tag = bare.rpartition("/")[2].partition(":")[1:]
    if "/" not in bare and colon and not tag:
        raise Malformed(f"{text!r} has an empty tag")
    return Name(repository=repository, version=f"{colon}{tag}{at}{digest}")


class SignedIdentity(Frozen):
    """One ``signedIdentity``; ``expected`` is the reference, repository or prefix pair it names."""

    type: str = "matchRepoDigestOrExact"
    expected: str = ""
    signed_prefix: str = ""

    def check(self, signed: str, image: str | None) -> None:
        """Hold the name a signature claims against the image's own (None: it has none, as in ``dir:``).

        Raises:
            Malformed: the name is another one; the text says which was wanted.
        """
        claimed = parse_name(signed)
        if self.type == "exactReference":
            wanted, fits = self.expected, bool(claimed.version) and claimed == parse_name(self.expected)
        elif self.type == "exactRepository":
            wanted, fits = self.expected, claimed.repository == parse_name(self.expected).repository
        elif image is None:
            raise Malformed(
                f"signedIdentity {self.type} needs an image with a name, this one has none: "
                "use exactReference or exactRepository"
            )
        else:
            wanted = self._remapped(image)
            fits = self._fits(claimed, parse_name(wanted))
        if not fits:
            raise Malformed(f"it was made for {signed}, not for {wanted} ({self.type})")

    def _fits(self, claimed: Name, wanted: Name) -> bool:
        if self.type == "matchRepository":
            return claimed.repository == wanted.repository
        if self.type != "matchExact" and wanted.version.startswith("@"):
            return bool(claimed.version) and claimed.repository == wanted.repository
        return bool(claimed.version) and claimed == wanted

    def _remapped(self, image: str) -> str:
        prefix = self.expected
        if self.type != "remapIdentity" or not _has_prefix(image, prefix):
            return image
        return self.signed_prefix + image[len(prefix) :]


def _has_prefix(image: str, prefix: str) -> bool:
    """Tell whether ``prefix`` is the host, a namespace or the repository of ``image``."""
    name = str(parse_name(image).repository)
    return name == prefix or name.startswith(f"{prefix}/")


def parse_identity(value: dict[str, Any], where: str) -> SignedIdentity:
    """Parse a ``signedIdentity`` object.

    Raises:
        Malformed: a field is wrong.
    """
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise Malformed(f"{where}: type {kind!r} is none of {', '.join(_FIELDS)}")
    check_fields(value, where, required={"type": str, **_FIELDS[kind]})
    if kind == "remapIdentity":
        for field in ("prefix", "signedPrefix"):
            _check_prefix(value[field], f"{where}.{field}")
        return SignedIdentity(type=kind, expected=value["prefix"], signed_prefix=value["signedPrefix"])
    expected = ""
    for field in _FIELDS[kind]:
        expected = value[field]
        try:
            name = parse_name(expected)
        except Malformed as cause:
            raise Malformed(f"{where}.{field}: {cause}") from cause
        if kind == "exactReference" and not name.version:
            raise Malformed(f"{where}.{field}: {expected!r} has neither tag nor digest")
        if kind == "exactRepository" and name.version:
            raise Malformed(f"{where}.{field}: {expected!r} has a tag or digest, a repository has none")
    return SignedIdentity(type=kind, expected=expected)


def _check_prefix(text: str, where: str) -> None:
    """Hold a prefix to being a host, or a namespace or repository in its full form."""
    # A host alone may lack a dot; with a port it is taken for a host in any case.
    host = text if "/" in text or ":" in text else f"{text}:1"
    try:
        name = parse_name(f"{host}/name/space")
    except Malformed as cause:
        raise Malformed(f"{where}: {text!r} is no host, namespace or repository") from cause
    if not text or name.repository != f"{host}/name/space":
        raise Malformed(f"{where}: {text!r} is not written in full (as docker.io/library/NAME is)")
