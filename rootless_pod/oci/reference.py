"""Image references (``registry/repository:tag@digest``) and transport-prefixed sources.

Source: the grammar of the distribution reference package and the normalisation that docker and podman share.
"""

from __future__ import annotations

from rootless_pod.errors import Usage
from rootless_pod.frozen import Frozen

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
TRANSPORTS = ("docker", "oci", "oci-archive", "docker-archive", "dir", "containers-storage", "docker-daemon")

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_HEX = frozenset("0123456789abcdef")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_TAG = _WORD | frozenset(".-")
_HOST = _WORD | frozenset(".-")


class Reference(Frozen):
    """One image in a registry; exactly one of ``tag`` and ``digest`` is set."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """``registry/repository``, what all tags share."""
        return f"{self.registry}/{self.repository}"

    @property
    def version(self) -> str:
        """What the distribution API calls the reference: the digest, or the tag."""
        return self.digest or self.tag or DEFAULT_TAG

    def familiar(self) -> str:
        """Return the shortest form docker would print (``docker.io`` and ``library/`` left out)."""
        name = self.name
        if self.registry == DEFAULT_REGISTRY:
            name = self.repository.removeprefix("library/") if self.repository.count("/") == 1 else self.repository
        return name + self._suffix()

    def _suffix(self) -> str:
        return f"@{self.digest}" if self.digest else f":{self.tag or DEFAULT_TAG}"

    def __str__(self) -> str:
        return self.name + self._suffix()


class Source(Frozen):
    """Where an image comes from; ``transport`` is "" for a plain name."""

    transport: str
    rest: str


def parse_source(text: str) -> Source:
    """Split a transport prefix (``docker://``, ``oci:``, ``docker-archive:`` …) from what follows it."""
    transport, colon, rest = text.partition(":")
    if not colon or transport not in TRANSPORTS:
        return Source(transport="", rest=text)
    if transport == "docker":
        # "docker:5000/x" is a registry called docker; only "docker://" is the transport.
        return Source(transport="docker", rest=rest[2:]) if rest.startswith("//") else Source(transport="", rest=text)
    return Source(transport=transport, rest=rest)


def has_registry(text: str) -> bool:
    """Whether the name says its registry: the part before the first slash has a dot or a port, or is localhost."""
    first, slash, _rest = text.partition("/")
    return bool(slash) and (first == "localhost" or "." in first or ":" in first)


def parse_reference(text: str, *, default_registry: str = DEFAULT_REGISTRY) -> Reference:
    """Parse and normalise a name; no tag and no digest means ``latest``, a tag beside a digest is dropped.

    Raises:
        Usage: the text breaks the grammar; the message says where.
    """
    rest, at, digest = text.partition("@")
    if at:
        _check_digest(digest, text)
    registry = default_registry
    if has_registry(rest):
        registry, _slash, rest = rest.partition("/")
        _check_registry(registry, text)
    repository, tag = _split_tag(rest, text)
    _check_repository(repository, text)
    if registry in ("index.docker.io", "registry-1.docker.io"):
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    if at:
        return Reference(registry=registry, repository=repository, digest=digest)
    return Reference(registry=registry, repository=repository, tag=tag or DEFAULT_TAG)


def _fault(text: str, why: str) -> Usage:
    return Usage(f"invalid image name {text!r}: {why}", remedy="write it as [REGISTRY/]REPOSITORY[:TAG|@sha256:DIGEST]")


def _split_tag(rest: str, text: str) -> tuple[str, str | None]:
    repository, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        return rest, None
    if not tag or len(tag) > 128 or tag[0] not in _WORD or not set(tag) <= _TAG:
        raise _fault(text, f"{tag!r} is not a tag (letters, digits, '_', '.', '-'; at most 128)")
    return repository, tag


def _check_digest(digest: str, text: str) -> None:
    algorithm, _colon, hexadecimal = digest.partition(":")
    if algorithm != "sha256" or len(hexadecimal) != 64 or not set(hexadecimal) <= _HEX:
        raise _fault(text, "the digest must be sha256: and 64 hexadecimal digits")


def _check_registry(registry: str, text: str) -> None:
    if registry.startswith("["):
        host, bracket, port = registry[1:].partition("]")
        valid = bool(bracket) and set(host) <= _HEX | {":"} and (not port or port[1:].isdigit())
    else:
        host, colon, port = registry.partition(":")
        valid = bool(host) and set(host) <= _HOST and (not colon or port.isdigit())
    if not valid:
        raise _fault(text, f"{registry!r} is not a registry host")


def _check_repository(repository: str, text: str) -> None:
    if len(repository) > 255:
        raise _fault(text, "the repository is longer than 255 characters")
    if any(character.isupper() for character in repository):
        raise _fault(text, "the repository must be lower case")
    for part in repository.split("/"):
        if not _is_path_component(part):
            raise _fault(text, f"{part!r} is not a repository component")


def _is_path_component(part: str) -> bool:
    """Tell whether it is runs of letters and digits joined by one ``.``, one or two ``_``, or any number of ``-``."""
    if not part or part[0] not in _LOWER or part[-1] not in _LOWER:
        return False
    separator = ""
    for character in part:
        if character in _LOWER:
            if separator and separator not in (".", "_", "__") and set(separator) != {"-"}:
                return False
            separator = ""
        elif character in "._-":
            separator += character
        else:
            return False
    return True
