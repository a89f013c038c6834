"""An image in a registry, as a source; blobs go on after a broken connection where they stopped."""

from __future__ import annotations

import time

from rootless_pod import log
from rootless_pod.errors import Corrupt, NotFound, Refused
from rootless_pod.image.registry.transport import Response, Unreachable
from rootless_pod.oci.mediatype import is_foreign

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.image.registry.client import RegistryClient
    from rootless_pod.image.source import BlobReader
    from rootless_pod.oci.descriptor import Descriptor

_BREAKS_IN_A_ROW = 5


class RegistrySource:
    """One tag or digest of a repository."""

    def __init__(self, client: RegistryClient, version: str, shown: str) -> None:
        """Ask ``client`` for ``version``; ``shown`` is the full name for messages."""
        self._client = client
        self._version = version
        self.shown = shown

    def manifest(self) -> tuple[bytes, str]:
        """Return the manifest or index as the registry has it."""
        return self._client.manifest(self._version)

    def child_manifest(self, descriptor: Descriptor) -> bytes:
        """Return a manifest of the index, by digest."""
        return self._client.manifest(descriptor.digest)[0]

    def blob(self, descriptor: Descriptor) -> BlobReader:
        """Open a blob; a foreign layer from its own addresses where the registry doesn't have it."""
        if is_foreign(descriptor.media_type) and descriptor.urls:
            return self._foreign(descriptor)
        return ResumingBlob(lambda offset: self._client.blob(descriptor.digest, offset=offset), descriptor, self.shown)

    def _foreign(self, descriptor: Descriptor) -> BlobReader:
        faults: list[str] = []
        for url in descriptor.urls:
            try:
                return ResumingBlob(
                    lambda offset, url=url: self._client.foreign_blob(url, offset=offset),  # type: ignore[misc]
                    descriptor,
                    self.shown,
                )
            except (Refused, NotFound) as fault:
                faults.append(fault.message)
        try:
            return ResumingBlob(
                lambda offset: self._client.blob(descriptor.digest, offset=offset), descriptor, self.shown
            )
        except NotFound as cause:
            raise NotFound(f"{self.shown}: foreign layer {descriptor.digest}: {'; '.join(faults)}") from cause


class ResumingBlob:
    """A blob's bytes; a break is mended by asking for the rest (Range), a few times without progress at most."""

    def __init__(
        self,
        request: Callable[[int], Response],
        descriptor: Descriptor,
        shown: str,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open it; ``request(offset)`` gives the answer from there on.

        Raises:
            Corrupt: the announced length is not the descriptor's.
        """
        self._request = request
        self._descriptor = descriptor
        self._shown = shown
        self._pause = pause
        self._breaks = 0
        self.seen = 0
        self._response: Response | None = request(0)
        self._check_length(self._response, descriptor.size)

    def _check_length(self, response: Response, expected: int) -> None:
        announced = response.headers.get("Content-Length", "")
        if announced.isdigit() and int(announced) != expected:
            response.close()
            raise Corrupt(
                f"{self._shown}: the registry has {announced} bytes for blob {self._descriptor.digest}, "
                f"its descriptor says {expected}",
                remedy="do not trust this registry or the network between; pull from another one",
            )

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, nothing at the end.

        Raises:
            Unreachable: it broke several times in a row without a byte between.
            Corrupt: the blob ended early, again and again.
        """
        while True:
            try:
                if self._response is None:
                    self._response = self._resume()
                data = self._response.read(size)
                if data or self.seen >= self._descriptor.size:
                    break
                fault = Unreachable(
                    f"{self._shown}: blob {self._descriptor.digest} ended after {self.seen} of "
                    f"{self._descriptor.size} bytes",
                    remedy="check the network and the registry's disk",
                    retriable=True,
                )
            except Unreachable as broken:
                fault = broken
            self._breaks += 1
            if not fault.retriable or self._breaks > _BREAKS_IN_A_ROW:
                raise fault
            log.debug(f"{fault.message}; going on at byte {self.seen}")
            self.close()
            self._pause(min(0.2 * 2**self._breaks, 10.0))
        if data:
            self._breaks = 0
            self.seen += len(data)
        return data

    def _resume(self) -> Response:
        response = self._request(self.seen)
        if self.seen and response.status == 206:
            start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0].strip()
            if start == str(self.seen):
                return response
            response.close()
            response = self._request(0)
        # The server does not do ranges: read again what we have.
        left = self.seen
        while left:
            part = response.read(min(left, 1 << 18))
            if not part:
                raise Unreachable(f"{self._shown}: blob {self._descriptor.digest} broke off", retriable=True)
            left -= len(part)
        return response

    def close(self) -> None:
        """Drop the connection; idempotent."""
        if self._response is not None:
            self._response.close()
            self._response = None
