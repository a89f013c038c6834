"""A registry as the distribution-spec describes it: manifests, blobs and tags, with proof of who asks.

Credentials go to the registry's own host, and to the token server it names (never over plain http when the registry
itself is reached over https); a redirect to another host gets neither credentials nor token.
"""

from __future__ import annotations

import time
from urllib.parse import urlencode, urljoin, urlsplit

from rootless_pod import jsontext, log
from rootless_pod.errors import Corrupt, NotFound, Refused
from rootless_pod.image.registry.auth import Credentials
from rootless_pod.image.registry.challenge import Challenge, parse_challenges
from rootless_pod.image.registry.transport import Response, Transport, Unreachable
from rootless_pod.oci.digest import of_bytes
from rootless_pod.oci.manifest import MAX_MANIFEST_BYTES
from rootless_pod.oci.mediatype import ACCEPTED_MANIFESTS, bare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_ATTEMPTS = 4
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 60.0
_REDIRECTS = 10
_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_SMALL_BODY = 1 << 20
_MAX_TAG_PAGES = 1000


class RegistryClient:
    """One repository of one registry. Not for several threads; a forked child may go on with its copy."""

    def __init__(
        self,
        host: str,
        repository: str,
        *,
        transport: Transport,
        credentials: Callable[[], Credentials | None],
        insecure: bool = False,
        pause: Callable[[float], None] = time.sleep,
        attempts: int = _ATTEMPTS,
    ) -> None:
        """Keep the pieces; ``credentials`` is asked at most once, when the registry wants proof.

        ``insecure`` allows plain http where https is not spoken.
        """
        self._host = "registry-1.docker.io" if host == "docker.io" else host
        self._shown = f"{host}/{repository}"
        self._repository = repository
        self._transport = transport
        self._find_credentials = credentials
        self._credentials: Credentials | None = None
        self._asked = False
        self._scheme = "https"
        self._insecure = insecure
        self._pause = pause
        self._attempts = max(1, attempts)
        self._authorization: str | None = None

    def manifest(self, version: str) -> tuple[bytes, str]:
        """Return the manifest or index called ``version`` (tag or digest) as it is, and the media type announced.

        Raises:
            NotFound: no such repository or tag.
            Refused: access denied.
            Corrupt: its bytes don't have the digest asked for or announced.
        """
        response = self._get(f"manifests/{version}", {"Accept": ", ".join(ACCEPTED_MANIFESTS)})
        try:
            data = _read_all(response, MAX_MANIFEST_BYTES)
        finally:
            response.close()
        announced = response.headers.get("Docker-Content-Digest", "")
        wanted = version if version.startswith("sha256:") else announced
        if wanted.startswith("sha256:") and of_bytes(data) != wanted:
            raise Corrupt(
                f"{self._shown}: the registry sent a manifest with another digest than {wanted}",
                remedy="do not trust this registry or the network between; pull from another one",
            )
        return data, bare(response.headers.get("Content-Type", ""))

    def blob(self, digest: str, *, offset: int = 0) -> Response:
        """Return the answer that holds the blob from ``offset`` on: status 206, or 200 if it starts at 0 after all."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        return self._get(f"blobs/{digest}", headers)

    def foreign_blob(self, url: str, *, offset: int = 0) -> Response:
        """Return the answer for a blob that lies outside the registry; without credentials."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if urlsplit(url).scheme not in ("https", "http"):
            raise Refused(f"{self._shown}: a foreign layer lies at {url}, which is no web address")
        return self._checked(self._follow(url, headers, authorization=None), url)

    def tags(self) -> tuple[str, ...]:
        """Return every tag of the repository."""
        found: list[str] = []
        path = "tags/list"
        for _page in range(_MAX_TAG_PAGES):
            response = self._get(path, {"Accept": "application/json"})
            try:
                document = _json(_read_all(response, MAX_MANIFEST_BYTES), self._shown)
            finally:
                response.close()
            listed = document.get("tags")
            found += [str(tag) for tag in listed] if isinstance(listed, list) else []
            following = _next_page(response.headers.get("Link", ""), response.url)
            if following is None or not following.startswith(self._base(self._scheme)):
                break
            path = following.removeprefix(self._base(self._scheme))
        return tuple(found)

    def _base(self, scheme: str) -> str:
        return f"{scheme}://{self._host}/v2/{self._repository}/"

    def _get(self, path: str, headers: dict[str, str]) -> Response:
        """GET below the repository: with proof when asked for it, again after a passing fault."""
        refreshed = False
        while True:
            url = self._base(self._scheme) + path
            try:
                response = self._follow(url, headers, authorization=self._authorization)
            except Unreachable as fault:
                if not (self._insecure and self._scheme == "https" and urlsplit(url).netloc == self._host):
                    raise
                if not (fault.plain_http or fault.retriable):
                    raise
                self._scheme = "http"
                continue
            if response.status != 401 or refreshed:
                return self._checked(response, url)
            refreshed = True
            challenges = [one for value in response.header_list("WWW-Authenticate") for one in parse_challenges(value)]
            response.close()
            self._authorization = self._prove(challenges)

    def _follow(self, url: str, headers: dict[str, str], *, authorization: str | None) -> Response:
        """GET and follow redirects; the proof stays on the first host, and https never turns into http."""
        first = urlsplit(url)
        for _hop in range(_REDIRECTS):
            here = urlsplit(url)
            ours = (here.scheme, here.netloc) == (first.scheme, first.netloc)
            sent = {**headers, "Authorization": authorization} if authorization and ours else headers
            response = self._patiently("GET", url, sent)
            if response.status not in (301, 302, 303, 307, 308):
                return response
            target = urljoin(url, response.headers.get("Location", ""))
            response.close()
            scheme = urlsplit(target).scheme
            if scheme not in ("http", "https") or (here.scheme == "https" and scheme != "https"):
                raise Refused(
                    f"{self._shown}: the registry redirects from {here.scheme} to {scheme or 'nowhere'} ({target})",
                    remedy="ask the registry's operator; rpod does not follow a redirect that drops encryption",
                )
            url = target
        raise Refused(f"{self._shown}: more than {_REDIRECTS} redirects")

    def _patiently(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> Response:
        """Send until there is an answer worth having, with growing pauses (or the one the server asks for)."""
        pause = _FIRST_PAUSE_SECONDS
        for attempt in range(1, self._attempts + 1):
            last = attempt == self._attempts
            try:
                response = self._transport.request(method, url, headers=headers, body=body)
            except Unreachable as fault:
                probing = self._insecure and url.startswith(f"https://{self._host}/")
                if last or not fault.retriable or probing:
                    raise
                log.debug(f"{fault.message}; waiting {pause:g} s")
                self._pause(pause)
            else:
                if response.status not in _RETRIED or last:
                    return response
                wait = _retry_after(response.headers.get("Retry-After", ""))
                response.close()
                log.debug(f"{url}: status {response.status}; waiting {wait or pause:g} s")
                self._pause(min(wait or pause, _LONGEST_PAUSE_SECONDS))
            pause *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _checked(self, response: Response, url: str) -> Response:
        """Return a good answer; turn the others into words."""
        if response.status in (200, 206):
            return response
        try:
            said = _registry_words(_read_all(response, _SMALL_BODY))
        except (Unreachable, Corrupt):
            said = ""
        finally:
            response.close()
        detail = f": {said}" if said else ""
        if response.status == 404:
            raise NotFound(f"{self._shown}: not found in the registry ({_last(url)}){detail}", exit_code=125)
        if response.status in (401, 403):
            known = "with the stored credentials" if self._credentials else "without credentials"
            host = self._shown.partition("/")[0]
            raise Refused(
                f"{self._shown}: access denied {known}{detail}",
                remedy=f"check the name, or give --creds USER:PASSWORD, or run: podman login {host}",
            )
        if response.status == 429:
            raise Refused(
                f"{self._shown}: the registry limits how often it may be asked{detail}", remedy="log in, or wait"
            )
        raise Refused(f"{self._shown}: the registry answered with status {response.status}{detail}")

    def _prove(self, challenges: list[Challenge]) -> str | None:
        """Return an Authorization header for the strongest challenge we can meet."""
        if not self._asked:
            self._credentials, self._asked = self._find_credentials(), True
        for challenge in challenges:
            if challenge.scheme == "bearer":
                return f"Bearer {self._token(challenge)}"
        for challenge in challenges:
            if challenge.scheme == "basic" and self._credentials is not None and self._credentials.username:
                return self._credentials.basic()
        return None

    def _token(self, challenge: Challenge) -> str:
        """Ask the token server the challenge names. Source: distribution, spec/auth/token and spec/auth/oauth."""
        realm = challenge.parameters.get("realm", "")
        if urlsplit(realm).scheme not in ("https", "http"):
            raise Refused(f"{self._shown}: the registry names no usable token server ({realm!r})")
        if urlsplit(realm).scheme == "http" and self._scheme == "https":
            raise Refused(
                f"{self._shown}: the token server {realm} is not encrypted, the registry is",
                remedy="ask the registry's operator to serve tokens over https",
            )
        scope = challenge.parameters.get("scope") or f"repository:{self._repository}:pull"
        service = challenge.parameters.get("service", "")
        credentials = self._credentials
        if credentials is not None and credentials.identity_token:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "scope": scope,
                "client_id": "rootless_pod",
                "refresh_token": credentials.identity_token,
            }
            sent = {"Content-Type": "application/x-www-form-urlencoded"}
            response = self._patiently("POST", realm, sent, urlencode(form).encode())
        else:
            query = {"scope": scope, **({"service": service} if service else {})}
            sent = {"Authorization": credentials.basic()} if credentials is not None else {}
            joint = "&" if urlsplit(realm).query else "?"
            # No redirect is followed here: it would carry the password along.
            response = self._patiently("GET", f"{realm}{joint}{urlencode(query)}", sent)
        response = self._checked(response, realm)
        try:
            document = _json(_read_all(response, _SMALL_BODY), self._shown)
        finally:
            response.close()
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise Refused(f"{self._shown}: the token server {realm} gave no token")
        return token


def _json(data: bytes, shown: str) -> dict[str, object]:
    try:
        document = jsontext.loads(data)
    except ValueError as cause:
        raise Corrupt(f"{shown}: the registry's answer is not JSON: {cause}") from cause
    if not isinstance(document, dict):
        raise Corrupt(f"{shown}: the registry's answer is not a JSON object")
    return document


def _read_all(response: Response, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := response.read(65536):
        parts.append(part)
        size += len(part)
        if size > limit:
            raise Corrupt(f"{response.url}: the answer is larger than {limit} bytes")
    return b"".join(parts)


def _registry_words(body: bytes) -> str:
    """Return the message of the distribution-spec's error document, shortened to one line."""
    try:
        errors = jsontext.loads(body)["errors"]
        said = "; ".join(str(error.get("message") or error.get("code")) for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return "".join(character if character.isprintable() else " " for character in said)[:300]


def _last(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


def _retry_after(value: str) -> float | None:
    """Return the seconds a ``Retry-After`` header asks for (a number, or a date)."""
    if value.strip().isdigit():
        return float(value)
    if not value:
        return None
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _next_page(link: str, url: str) -> str | None:
    """Return the target of ``Link: <...>; rel="next"``, absolute."""
    target, bracket, rest = link.partition(">")
    if not bracket or not target.strip().startswith("<") or "next" not in rest:
        return None
    return urljoin(url, target.strip()[1:])
