"""Signatures as numbered files: in a lookaside store (``file:``, ``http:``, ``https:``) and in a ``dir:`` image.

Source: containers/image, docs/signature-protocols.md: ``URL/REPOSITORY@sha256=HEX/signature-N``, N from 1.
"""

from __future__ import annotations

import os
from urllib.parse import quote, unquote, urljoin, urlsplit

from rootless_pod.errors import Refused
from rootless_pod.image.trust.signature import MAX_SIGNATURE_BYTES, MAX_SIGNATURES, Signature, parse_stored
from rootless_pod.image.trust.strictjson import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.image.registry.transport import Transport

_REDIRECTS = 5


class DirectorySignatures:
    """Those of a ``dir:`` image: ``signature-N``, or ``HEX-signature-N`` for a manifest of an index."""

    def __init__(self, path: str, top_digest: str) -> None:
        """Look in ``path``, whose ``manifest.json`` has the digest ``top_digest``."""
        self._path = path
        self._top = top_digest

    def _all(self, digest: str) -> tuple[Signature, ...]:
        prefix = "" if digest == self._top else f"{digest.partition(':')[2]}-"
        return read_numbered(lambda n: f"{self._path}/{prefix}signature-{n}", _read_file)

    def simple(self, digest: str) -> tuple[Signature, ...]:
        """Return the simple signatures."""
        return tuple(one for one in self._all(digest) if one.simple)

    def sigstore(self, digest: str) -> tuple[Signature, ...]:
        """Return the sigstore signatures."""
        return tuple(one for one in self._all(digest) if not one.simple)

    def places(self) -> str:
        """Say where was looked."""
        return f"{self._path}/signature-1"


class Lookaside:
    """One store of signatures for one repository."""

    def __init__(self, base: str, repository: str, transport: Callable[[], Transport]) -> None:
        """Use the URL ``base``; ``transport`` is asked for only when it is a web address.

        Raises:
            Refused: the URL has another scheme.
        """
        try:
            scheme = urlsplit(base).scheme
        except ValueError:
            scheme = ""
        if scheme not in ("file", "http", "https"):
            raise Refused(f"the signature store {base!r} is no file:, http: or https: URL", remedy="mend registries.d")
        self._base = base.rstrip("/")
        self._repository = repository
        self._transport = transport
        self.shown = f"{self._base}/{repository}"

    def read(self, digest: str) -> tuple[Signature, ...]:
        """Return the signatures of the manifest ``digest``, in their order.

        Raises:
            Refused: the store does not answer, or with an error.
        """
        name = f"{self._repository}@{digest.replace(':', '=')}"
        if self._base.startswith("file:"):
            return read_files(f"{unquote(urlsplit(self._base).path)}/{name}")
        base = urlsplit(self._base)
        root = base._replace(path=f"{base.path}/{quote(name, safe='/@=')}").geturl()
        transport = self._transport()
        return read_numbered(lambda n: f"{root}/signature-{n}", lambda url: _fetch(transport, url))


def read_files(directory: str) -> tuple[Signature, ...]:
    """Return the signatures in a directory of one manifest (raises Refused)."""
    return read_numbered(lambda n: f"{directory}/signature-{n}", _read_file)


def read_numbered(place: Callable[[int], str], read: Callable[[str], bytes | None]) -> tuple[Signature, ...]:
    """Read signatures number 1, 2, … until one is missing; one that can't be parsed stays, to give its reason later.

    Raises:
        Refused: there are too many.
    """
    found: list[Signature] = []
    for number in range(1, MAX_SIGNATURES + 1):
        blob = read(place(number))
        if blob is None:
            return tuple(found)
        try:
            found.append(parse_stored(blob, place(number)))
        except Malformed:
            # Whatever checks it says why it is no signature of the kind it wants.
            found.append(Signature(place=place(number), data=blob))
    raise Refused(
        f"{place(1)} and after: more than {MAX_SIGNATURES} signatures for one image",
        remedy="remove old signatures there",
    )


def _read_file(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            _check_size(size, path)
            return file.read(MAX_SIGNATURE_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as cause:
        raise Refused(f"cannot read the signature {path}: {cause.strerror}", remedy=f"make {path} readable") from cause


def _fetch(transport: Transport, url: str) -> bytes | None:
    """GET one signature; None where the server has none."""
    for _hop in range(_REDIRECTS):
        response = transport.request("GET", url, headers={})
        try:
            if response.status in (301, 302, 303, 307, 308):
                url = _redirected(url, response.headers.get("Location", ""))
                continue
            if response.status in (404, 410):
                return None
            if response.status != 200:
                raise Refused(
                    f"the signature store answered with status {response.status} for {url}",
                    remedy="check the URL in registries.d",
                )
            parts: list[bytes] = []
            while part := response.read(65536):
                parts.append(part)
                _check_size(sum(map(len, parts)), url)
            return b"".join(parts)
        finally:
            response.close()
    raise Refused(
        f"the signature store redirects {url} more than {_REDIRECTS} times", remedy="check the URL in registries.d"
    )


def _redirected(url: str, location: str) -> str:
    """Return where a redirect leads; it may not give up encryption."""
    try:
        target = urljoin(url, location)
        fits = urlsplit(target).scheme in ("https", urlsplit(url).scheme)
    except ValueError:
        target, fits = location, False
    if not fits:
        raise Refused(
            f"the signature store redirects from {url} to {target!r}, which is no encrypted web address",
            remedy="ask whoever runs the store",
        )
    return target


def _check_size(size: int, place: str) -> None:
    if size > MAX_SIGNATURE_BYTES:
        raise Refused(
            f"the signature {place} has more than {MAX_SIGNATURE_BYTES} bytes", remedy="ask whoever signed the image"
        )
