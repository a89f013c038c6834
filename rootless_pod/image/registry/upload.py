"""Writing to a repository: blobs looked for, mounted, uploaded and resumed; manifests put.

A blob goes up in one request (POST, then PUT with all its bytes). Where that breaks, the registry is asked how much it
has and the rest follows in chunks (PATCH, then an empty PUT); a registry that takes no large request gets chunks from
the start. Source: distribution-spec 1.1, "Pushing blobs", "Pushing manifests", "Pushing Manifests with Subject".
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from rootless_pod import log
from rootless_pod.errors import Corrupt, NotFound, Refused
from rootless_pod.frozen import Frozen
from rootless_pod.image.destination import ManifestRejected
from rootless_pod.image.registry.client import RegistryClient, referrers_tag
from rootless_pod.image.registry.limits import retry_after
from rootless_pod.image.registry.session import LONGEST_PAUSE_SECONDS, RETRIED
from rootless_pod.image.registry.transport import Unreachable
from rootless_pod.oci.digest import of_bytes
from rootless_pod.oci.manifest import Index, format_index, parse_index
from rootless_pod.oci.mediatype import OCI_INDEX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless_pod.image.registry.session import Session
    from rootless_pod.image.registry.transport import Response
    from rootless_pod.image.source import BlobReader
    from rootless_pod.oci.descriptor import Descriptor

CHUNK_BYTES = 32 << 20
_PIECE_BYTES = 256 << 10
_REJECTED = frozenset({400, 405, 415})
"""What registries answer to a manifest of a kind they don't keep."""
# What registries and the proxies before them answer to a request that is too large or of a kind they don't know.
_WANTS_CHUNKS = frozenset({405, 411, 413, 415, 501})


class _Broken(Exception):
    """An upload stopped for a reason that may pass."""

    def __init__(self, fault: Refused | NotFound, wait: float | None = None) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.wait = wait


class _State(Frozen):
    """Where an upload is: the address to go on at (none: begin anew), and how much the registry has."""

    location: str = ""
    offset: int = 0


class Uploader:
    """One repository, written to. Blobs may be uploaded by several threads at once."""

    def __init__(self, session: Session, repository: str, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Write through ``session``, whose token must allow it."""
        self._session = session
        self._repository = repository
        self._chunk_bytes = chunk_bytes
        self._chunked = False
        self._takes_subjects = False

    def reader(self) -> RegistryClient:
        """Return what reads the same repository."""
        return RegistryClient.on(self._session, self._repository)

    def has_blob(self, digest: str) -> bool:
        """Tell whether the repository has the blob."""
        response = self._session.request("HEAD", self._path(f"blobs/{digest}"), {})
        if response.status == 404:
            response.close()
            return False
        self._session.checked(response).close()
        return True

    def mount(self, digest: str, from_repository: str) -> str | None:
        """Make a blob of another repository of this registry ours; None if it worked, else an upload's address."""
        query = f"?mount={digest}&from={from_repository}"
        response = self._session.request("POST", self._path(f"blobs/uploads/{query}"), {"Content-Length": "0"})
        if response.status == 201:
            response.close()
            return None
        return self._location(self._session.checked(response, (202,)))

    def upload(
        self,
        descriptor: Descriptor,
        opened: Callable[[], BlobReader],
        *,
        location: str = "",
        on_progress: Callable[[int], None] = lambda _sent: None,
    ) -> None:
        """Send a blob; ``opened`` gives its bytes from the start, and may be called again after a break.

        Raises:
            Unreachable: it broke again and again.
            Refused, Corrupt: the registry does not take it.
        """
        state = _State(location=location)
        pause = self._session.first_pause_seconds
        breaks = 0
        while True:
            try:
                state = state if state.location else _State(location=self._begin())
                self._send(state, descriptor, opened, on_progress)
            except _Broken as broken:
                breaks += 1
                longest = broken.wait is not None and broken.wait > LONGEST_PAUSE_SECONDS
                if breaks >= self._session.attempts or longest:
                    raise broken.fault from broken.__cause__
                log.debug(f"{broken.fault.message}; going on in {broken.wait or pause:g} s")
                self._session.pause(broken.wait or min(pause, LONGEST_PAUSE_SECONDS))
                pause *= 2
                state = self._where(state, descriptor)
            else:
                return

    def _begin(self) -> str:
        response = self._session.request("POST", self._path("blobs/uploads/"), {"Content-Length": "0"})
        return self._location(self._session.checked(response, (202,)))

    def _send(
        self,
        state: _State,
        descriptor: Descriptor,
        opened: Callable[[], BlobReader],
        on_progress: Callable[[int], None],
    ) -> None:
        """Send what the registry does not have yet, and finish (raises _Broken)."""
        end = _with_digest(state.location, descriptor.digest)
        if not state.offset and not self._chunked:
            response = self._put(end, _Range(opened, 0, descriptor.size, on_progress))
            if response.status not in _WANTS_CHUNKS:
                self._accept(response, (201,))
                return
            response.close()
            self._chunked = True
            state = _State(location=self._begin())
        while state.offset < descriptor.size:
            size = descriptor.size - state.offset
            if self._chunked:
                size = min(size, self._chunk_bytes)
            part = _Range(opened, state.offset, size, on_progress)
            state = self._patch(state, part)
        self._accept(self._put(_with_digest(state.location, descriptor.digest), None), (201,))

    def _put(self, location: str, part: _Range | None) -> Response:
        size = part.size if part else 0
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        return self._unpatiently("PUT", location, headers, part)

    def _patch(self, state: _State, part: _Range) -> _State:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(part.size),
            "Content-Range": f"{part.start}-{part.start + part.size - 1}",
        }
        response = self._accept(self._unpatiently("PATCH", state.location, headers, part), (202, 201, 204))
        return _State(location=self._location(response), offset=part.start + part.size)

    def _unpatiently(self, method: str, location: str, headers: dict[str, str], part: _Range | None) -> Response:
        """Send once; what may pass is _Broken."""
        try:
            body = part.pieces if part and part.size else None
            return self._session.request(method, location, headers, body=body, patient=False)
        except Unreachable as fault:
            if not fault.retriable:
                raise
            raise _Broken(fault) from fault

    def _accept(self, response: Response, accepted: tuple[int, ...]) -> Response:
        if response.status in RETRIED or response.status in (404, 416):
            # 404 and 416: the upload is gone, or stands elsewhere than we think.
            wait = retry_after(response.headers.get("Retry-After", ""))
            raise _Broken(self._session.fault(response), wait)
        checked = self._session.checked(response, accepted)
        checked.close()
        return checked

    def _where(self, state: _State, descriptor: Descriptor) -> _State:
        """Ask how much of a broken upload the registry kept; without an answer begin anew."""
        if not state.location:
            return state
        try:
            response = self._session.request("GET", state.location, {})
        except (Unreachable, Refused):
            return _State()
        kept = response.headers.get("Range", "").removeprefix("bytes=").rpartition("-")[2]
        response.close()
        if response.status != 204 or not kept.isdigit():
            return _State()
        location = response.headers.get("Location")
        # "0-0" is one byte for some registries and none for others: begin such an upload anew.
        if kept == "0" or int(kept) >= descriptor.size:
            return _State()
        return _State(location=urljoin(response.url, location) if location else state.location, offset=int(kept) + 1)

    def put_manifest(self, reference: str, data: bytes, media_type: str, *, digest: str = "") -> None:
        """Put a manifest or index under a tag or its digest, which ``digest`` names where it is not that of ``data``.

        Raises:
            ManifestRejected: the registry does not take this kind of manifest.
            Refused: the registry does not take it.
            Corrupt: the registry says that it got other bytes.
        """
        headers = {"Content-Type": media_type, "Content-Length": str(len(data))}
        response = self._session.request("PUT", self._path(f"manifests/{reference}"), headers, body=data)
        if response.status in _REJECTED:
            raise ManifestRejected(self._session.fault(response).message)
        self._session.checked(response, (200, 201, 202)).close()
        announced, sent = response.headers.get("Docker-Content-Digest", ""), digest or of_bytes(data)
        if announced.startswith("sha256:") and announced != sent:
            raise Corrupt(
                f"{self._session.shown}: the registry keeps the manifest as {announced}, we sent {sent}",
                remedy="do not trust this registry or the network between",
            )
        self._takes_subjects = "OCI-Subject" in response.headers

    def list_referrer(self, subject: str, referrer: Descriptor) -> None:
        """Enter ``referrer`` into the index that clients keep where the registry has no referrers API."""
        if self._takes_subjects:
            return
        tag = referrers_tag(subject)
        try:
            data, media_type = self.reader().manifest(tag)
            index = parse_index(data, media_type)
        except NotFound:
            index = Index(manifests=(), media_type=OCI_INDEX)
        if any(one.digest == referrer.digest for one in index.manifests):
            return
        text = format_index(index.replace(manifests=(*index.manifests, referrer)))
        self.put_manifest(tag, text, OCI_INDEX)

    def _path(self, rest: str) -> str:
        return f"/v2/{self._repository}/{rest}"

    def _location(self, response: Response) -> str:
        """Return where an accepted request says to go on."""
        response.close()
        location = response.headers.get("Location", "")
        if not location:
            raise Refused(f"{self._session.shown}: the registry began an upload but did not say where")
        target = urljoin(response.url, location)
        if urlsplit(target).scheme not in ("https", "http"):
            raise Refused(f"{self._session.shown}: the registry wants the upload at {target}, which is no web address")
        return target


class _Range:
    """A part of a blob as pieces to send."""

    def __init__(
        self, opened: Callable[[], BlobReader], start: int, size: int, on_progress: Callable[[int], None]
    ) -> None:
        self._opened = opened
        self.start = start
        self.size = size
        self._on_progress = on_progress

    def pieces(self) -> Iterator[bytes]:
        """Open the blob and give the part's bytes (raises Corrupt where it ends early)."""
        reader = self._opened()
        try:
            skip, left = self.start, self.size
            while left:
                data = reader.read(min(_PIECE_BYTES, skip or left))
                if not data:
                    raise Corrupt("a blob ends before the size its descriptor says", remedy="pull the image again")
                if skip:
                    skip -= len(data)
                    continue
                left -= len(data)
                if not left:
                    # A reader that verifies does so at the end of the stream.
                    _reach_end(reader)
                yield data
                self._on_progress(self.start + self.size - left)
        finally:
            reader.close()


def _reach_end(reader: BlobReader) -> None:
    finish = getattr(reader, "finish", None)
    if finish is not None:
        finish()


def _with_digest(location: str, digest: str) -> str:
    return f"{location}{'&' if urlsplit(location).query else '?'}digest={digest}"
