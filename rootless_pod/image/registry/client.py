"""A repository of a registry as the distribution-spec describes it: manifests, blobs, tags, referrers."""

from __future__ import annotations

import time
from urllib.parse import quote, urljoin, urlsplit

from rootless_pod.errors import Corrupt, NotFound, Refused
from rootless_pod.image.registry.session import ATTEMPTS, Session, read_all, read_json
from rootless_pod.oci.digest import of_bytes
from rootless_pod.oci.manifest import MAX_MANIFEST_BYTES, parse_index, schema1_fault
from rootless_pod.oci.mediatype import ACCEPTED_MANIFESTS, OCI_INDEX, SCHEMA1, bare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.image.registry.auth import Credentials
    from rootless_pod.image.registry.transport import Response, Transport
    from rootless_pod.oci.descriptor import Descriptor

_MAX_PAGES = 1000


class RegistryClient:
    """One repository of one registry, read. ``session`` may be shared with what writes there."""

    def __init__(
        self,
        host: str,
        repository: str,
        *,
        transport: Transport,
        credentials: Callable[[], Credentials | None],
        insecure: bool = False,
        pause: Callable[[float], None] = time.sleep,
        attempts: int = ATTEMPTS,
    ) -> None:
        """Make a session of its own; see ``Session`` for what the pieces are."""
        self.session = Session(
            host,
            shown=f"{host}/{repository}",
            transport=transport,
            credentials=credentials,
            insecure=insecure,
            pause=pause,
            attempts=attempts,
            scopes=(f"repository:{repository}:pull",),
        )
        self.repository = repository

    @classmethod
    def on(cls, session: Session, repository: str) -> RegistryClient:
        """Return a client that uses ``session``."""
        made = cls.__new__(cls)
        made.session = session
        made.repository = repository
        return made

    def manifest(self, version: str) -> tuple[bytes, str]:
        """Return the manifest or index called ``version`` (tag or digest) as it is, and the media type announced.

        Raises:
            NotFound: no such repository or tag.
            Refused: access denied.
            Corrupt: its bytes don't have the digest asked for or announced, or it is of Docker schema 1.
        """
        response = self._get(f"manifests/{version}", {"Accept": ", ".join(ACCEPTED_MANIFESTS)})
        try:
            data = read_all(response, MAX_MANIFEST_BYTES)
        finally:
            response.close()
        media_type = bare(response.headers.get("Content-Type", ""))
        if media_type in SCHEMA1:
            # Its digest is that of a part of it: it would be taken for a forgery.
            raise schema1_fault()
        announced = response.headers.get("Docker-Content-Digest", "")
        wanted = version if version.startswith("sha256:") else announced
        if wanted.startswith("sha256:") and of_bytes(data) != wanted:
            raise Corrupt(
                f"{self.session.shown}: the registry sent a manifest with another digest than {wanted}",
                remedy="do not trust this registry or the network between; pull from another one",
            )
        return data, media_type

    def blob(self, digest: str, *, offset: int = 0) -> Response:
        """Return the answer that holds the blob from ``offset`` on: status 206, or 200 if it starts at 0 after all."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        return self._get(f"blobs/{digest}", headers)

    def foreign_blob(self, url: str, *, offset: int = 0) -> Response:
        """Return the answer for a blob that lies outside the registry; without credentials."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if urlsplit(url).scheme not in ("https", "http"):
            raise Refused(f"{self.session.shown}: a foreign layer lies at {url}, which is no web address")
        return self.session.anonymous(url, headers)

    def tags(self) -> tuple[str, ...]:
        """Return every tag of the repository."""
        found: list[str] = []
        for document in self._pages("tags/list"):
            listed = document.get("tags")
            found += [str(tag) for tag in listed] if isinstance(listed, list) else []
        return tuple(found)

    def referrers(self, digest: str, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """Return the manifests whose ``subject`` is ``digest`` (signatures, bills of materials), of one type or all.

        A registry without the API is asked for the index that clients keep under the tag ``sha256-HEX`` instead.
        Source: distribution-spec 1.1, "Listing Referrers" and "Unavailable Referrers API".
        """
        path = f"referrers/{digest}"
        if artifact_type:
            path += f"?artifactType={quote(artifact_type, safe='')}"
        try:
            response = self._get(path, {"Accept": OCI_INDEX})
            try:
                data = read_all(response, MAX_MANIFEST_BYTES)
            finally:
                response.close()
            following = next_page(response.headers.get("Link", ""), response.url)
            found = list(parse_index(data, OCI_INDEX).manifests)
            while following is not None and urlsplit(following).netloc == self.session.host and len(found) < _MAX_PAGES:
                response = self.session.get(following, {"Accept": OCI_INDEX})
                try:
                    found += parse_index(read_all(response, MAX_MANIFEST_BYTES), OCI_INDEX).manifests
                finally:
                    response.close()
                following = next_page(response.headers.get("Link", ""), response.url)
        except (NotFound, Corrupt):
            found = self._referrers_by_tag(digest)
        return tuple(one for one in found if artifact_type in (None, one.artifact_type))

    def _referrers_by_tag(self, digest: str) -> list[Descriptor]:
        try:
            data, media_type = self.manifest(referrers_tag(digest))
        except NotFound:
            return []
        return list(parse_index(data, media_type).manifests)

    def _pages(self, path: str) -> list[dict[str, object]]:
        documents: list[dict[str, object]] = []
        following: str | None = f"/v2/{self.repository}/{path}"
        while following is not None and len(documents) < _MAX_PAGES:
            response = self.session.get(following, {"Accept": "application/json"})
            try:
                documents.append(read_json(response, self.session.shown, limit=MAX_MANIFEST_BYTES))
            finally:
                response.close()
            following = next_page(response.headers.get("Link", ""), response.url)
            if following is not None and urlsplit(following).netloc != self.session.host:
                break
        return documents

    def _get(self, path: str, headers: dict[str, str]) -> Response:
        """GET below the repository."""
        return self.session.get(f"/v2/{self.repository}/{path}", headers)


def referrers_tag(digest: str) -> str:
    """Return the tag under which clients keep the referrers of ``digest`` where the registry lacks the API."""
    return digest.replace(":", "-")


def next_page(link: str, url: str) -> str | None:
    """Return the target of ``Link: <...>; rel="next"``, absolute."""
    target, bracket, rest = link.partition(">")
    if not bracket or not target.strip().startswith("<") or "next" not in rest:
        return None
    return urljoin(url, target.strip()[1:])
