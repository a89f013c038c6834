"""Content digests: ``algorithm:hex``. Source: OCI image-spec 1.1, descriptor.md, "Digests"."""

from __future__ import annotations

import sys

from rootless_pod.errors import Corrupt, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_HEX_DIGITS = frozenset("0123456789abcdef")


def is_digest(text: str) -> bool:
    """Tell whether ``text`` is a digest of a registered algorithm (sha256, sha512), lower-case hex."""
    algorithm, colon, digits = text.partition(":")
    return bool(colon) and len(digits) == _HEX_LENGTH.get(algorithm) and _HEX_DIGITS.issuperset(digits)


def parse_digest(text: str) -> str:
    """Return ``text`` if it is a digest.

    Raises:
        Usage: it is not.
    """
    if not is_digest(text):
        raise Usage(f"not a digest: {text!r}", remedy="give sha256: and 64 hexadecimal digits")
    return text


def algorithm_of(digest: str) -> str:
    """Return what stands before the colon."""
    return digest.partition(":")[0]


def hex_of(digest: str) -> str:
    """Return what stands after the colon (a text without a colon is returned as it is)."""
    return digest.rpartition(":")[2]


def of_bytes(data: bytes) -> str:
    """Return the sha256 digest of ``data``; meant for small data, so it spares the import of ``hashlib``."""
    return "sha256:" + _small_sha256(data)


def _small_sha256(data: bytes) -> str:
    try:
        # Asking for a module that is not there would set off the whole of site's start-up.
        if sys.version_info >= (3, 12):
            from _sha2 import sha256  # type: ignore[import-not-found, unused-ignore]
        else:
            from _sha256 import sha256  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        from hashlib import sha256
    return str(sha256(data).hexdigest())


def new_hash(algorithm: str = "sha256") -> Any:
    """Return a fresh ``hashlib`` object, the fastest there is (OpenSSL where linked)."""
    import hashlib

    return hashlib.new(algorithm, usedforsecurity=True)


class Verifier:
    """Checks bytes that stream by against a digest and, where known, a size."""

    def __init__(self, digest: str, size: int | None = None, *, what: str = "blob") -> None:
        """Expect ``digest`` and ``size`` bytes (None: any number); ``what`` names the object in errors.

        Raises:
            Corrupt: ``digest`` is not a digest.
        """
        if not is_digest(digest):
            raise Corrupt(f"{what} has no valid digest: {digest!r}")
        self.digest = digest
        self.size = size
        self.seen = 0
        self._what = what
        self._hash = new_hash(algorithm_of(digest))

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes.

        Raises:
            Corrupt: there are more than ``size`` of them.
        """
        self.seen += len(data)
        if self.size is not None and self.seen > self.size:
            raise Corrupt(
                f"{self._what} {self.digest} is longer than the {self.size} bytes its descriptor says",
                remedy="pull or export the image anew from its source",
            )
        self._hash.update(data)

    def finish(self) -> None:
        """Compare at the end of the stream.

        Raises:
            Corrupt: bytes are missing or differ.
        """
        if self.size is not None and self.seen != self.size:
            raise Corrupt(
                f"{self._what} {self.digest} ends after {self.seen} of {self.size} bytes",
                remedy="pull or export the image anew from its source",
            )
        found = self._hash.hexdigest()
        if found != hex_of(self.digest):
            raise Corrupt(
                f"{self._what} {self.digest} is damaged: its bytes have the digest {found}",
                remedy="pull or export the image anew from its source",
            )
