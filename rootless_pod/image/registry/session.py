"""Requests to one registry host: proof of who asks, patience with passing faults, redirects, errors in words.

Credentials go to the registry's own host, and to the token server it names (never over plain http when the registry
itself is reached over https); a redirect or an upload address on another host gets neither credentials nor token.
"""

from __future__ import annotations

import threading
import time
from urllib.parse import urlencode, urljoin, urlsplit

from rootless_pod import jsontext, log
from rootless_pod.errors import Corrupt, NotFound, Refused
from rootless_pod.image.registry.challenge import parse_challenges
from rootless_pod.image.registry.limits import limit_words, retry_after
from rootless_pod.image.registry.transport import Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless_pod.image.registry.auth import Credentials
    from rootless_pod.image.registry.challenge import Challenge
    from rootless_pod.image.registry.transport import Body, Response, Transport

ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = 10
_SMALL_BODY = 1 << 20


class Session:
    """One host as one user. May be used by several threads; a forked child may go on with its copy."""

    def __init__(
        self,
        host: str,
        *,
        shown: str,
        transport: Transport,
        credentials: Callable[[], Credentials | None],
        insecure: bool = False,
        pause: Callable[[float], None] = time.sleep,
        attempts: int = ATTEMPTS,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        scopes: tuple[str, ...] = (),
    ) -> None:
        """Keep the pieces; ``credentials`` is asked at most once, when the registry wants proof.

        ``shown`` names the place in messages. ``insecure`` allows plain http where https is not spoken. ``scopes`` are
        asked for from the first token on (``repository:NAME:pull,push``), beside what the registry's challenge names.
        """
        self.host = "registry-1.docker.io" if host == "docker.io" else host
        self.shown = shown
        self.pause = pause
        self.attempts = max(1, attempts)
        self.first_pause_seconds = first_pause_seconds
        self._transport = transport
        self._find_credentials = credentials
        self._credentials: Credentials | None = None
        self._asked = False
        self._scheme = "https"
        self._insecure = insecure
        self._scopes = list(scopes)
        self._authorization: str | None = None
        self._lock = threading.Lock()

    def use(self, credentials: Credentials) -> None:
        """Show these instead of what is kept."""
        self._credentials, self._asked = credentials, True

    def url(self, path: str) -> str:
        """Return the address of ``path`` (``/v2/…``) at the host; a whole address stays as it is."""
        return path if "://" in path else f"{self._scheme}://{self.host}{path}"

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Response:
        """GET ``path``; the answer is 200 or 206.

        Raises:
            NotFound, Refused, Unreachable, Corrupt: it could not be had.
        """
        return self.checked(self.request("GET", path, headers or {}))

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        body: Body = None,
        patient: bool = True,
    ) -> Response:
        """Send a request with proof when asked for it; return the last answer, whatever its status.

        ``patient=False`` does not send again after a passing fault: for bodies that the caller resumes by itself.

        Raises:
            Unreachable: no answer.
            Refused: a redirect that must not be followed, or a token server that says no.
        """
        proved = False
        while True:
            url = self.url(path)
            if self._scheme == "https" and urlsplit(url).scheme != "https":
                raise self._unencrypted(url)
            sent = self._authorization
            try:
                response = self._follow(method, url, headers, body, authorization=sent, patient=patient)
            except Unreachable as fault:
                if not self._may_speak_http(url, fault):
                    raise
                self._scheme = "http"
                continue
            if response.status != 401 or proved:
                return response
            proved = True
            challenges = [one for value in response.header_list("WWW-Authenticate") for one in parse_challenges(value)]
            response.close()
            with self._lock:
                if self._authorization == sent:
                    self._authorization = self._prove(challenges)

    def anonymous(self, url: str, headers: Mapping[str, str]) -> Response:
        """GET an address outside the registry, without credentials; the answer is 200 or 206."""
        return self.checked(self._follow("GET", url, headers, None, authorization=None, patient=True))

    def _may_speak_http(self, url: str, fault: Unreachable) -> bool:
        ours = self._insecure and url.startswith(f"https://{self.host}/")
        return ours and (fault.plain_http or fault.retriable)

    def _is_ours(self, url: str) -> bool:
        there = urlsplit(url)
        return there.netloc == self.host and there.scheme == self._scheme

    def _follow(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body,
        *,
        authorization: str | None,
        patient: bool,
    ) -> Response:
        """Send and follow redirects; the proof stays on the registry's host, and https never turns into http."""
        for _hop in range(_REDIRECTS):
            scheme = urlsplit(url).scheme
            mine = authorization if authorization and self._is_ours(url) else None
            response = self._patiently(
                method, url, {**headers, "Authorization": mine} if mine else headers, body, patient=patient
            )
            if response.status not in ((301, 302, 303, 307, 308) if method in ("GET", "HEAD") else (307, 308)):
                return response
            target = urljoin(url, response.headers.get("Location", ""))
            response.close()
            if urlsplit(target).scheme not in ("http", "https") or (
                scheme == "https" and urlsplit(target).scheme != "https"
            ):
                raise self._unencrypted(target)
            url = target
        raise Refused(f"{self.shown}: more than {_REDIRECTS} redirects")

    def _unencrypted(self, target: str) -> Refused:
        there = urlsplit(target)
        return Refused(
            f"{self.shown}: the registry redirects from {self._scheme} to {there.scheme or 'nowhere'} "
            f"({there.scheme}://{there.netloc}{there.path})",
            remedy="ask the registry's operator; rpod does not follow a redirect that drops encryption",
        )

    def _patiently(
        self, method: str, url: str, headers: Mapping[str, str], body: Body, *, patient: bool = True
    ) -> Response:
        """Send until there is an answer worth having, with growing pauses (or the one the server asks for)."""
        pause = self.first_pause_seconds
        attempts = self.attempts if patient else 1
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            try:
                response = self._transport.request(method, url, headers=headers, body=body)
            except Unreachable as fault:
                probing = self._insecure and url.startswith(f"https://{self.host}/")
                if last or not fault.retriable or probing:
                    raise
                log.debug(f"{fault.message}; waiting {pause:g} s")
                self.pause(pause)
            else:
                if response.status not in RETRIED or last:
                    return response
                wait = retry_after(response.headers.get("Retry-After", ""))
                if wait is not None and wait > LONGEST_PAUSE_SECONDS:
                    return response
                response.close()
                log.debug(f"{_bare(url)}: status {response.status}; waiting {wait or pause:g} s")
                self.pause(min(wait or pause, LONGEST_PAUSE_SECONDS))
            pause *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    def checked(self, response: Response, accepted: tuple[int, ...] = (200, 206)) -> Response:
        """Return an answer of an ``accepted`` status; close the others and turn them into words.

        Raises:
            NotFound, Refused: what the registry said.
        """
        if response.status in accepted:
            return response
        raise self.fault(response)

    def fault(self, response: Response) -> NotFound | Refused:
        """Read what the registry has to say about a failure, close the answer and return the error to raise."""
        try:
            said = _registry_words(read_all(response, _SMALL_BODY))
        except (Unreachable, Corrupt):
            said = ""
        finally:
            response.close()
        detail = f": {said}" if said else ""
        if response.status == 404:
            return NotFound(
                f"{self.shown}: not found in the registry ({_last(response.url)}){detail}",
                remedy="the registry has lost a part of the image: push it there anew"
                if "/blobs/" in response.url
                else f"check the name and the tag; the tags there are: rpod search --list-tags {self.shown}",
                exit_code=125,
            )
        if response.status in (401, 403):
            known = "with these credentials" if self._credentials else "without credentials"
            return Refused(
                f"{self.shown}: access denied {known}{detail}",
                remedy=f"check the name, or give --creds USER:PASSWORD, or run: rpod login {self._login_name()}",
            )
        if response.status == 429:
            return Refused(
                f"{self.shown}: the registry limits how often it may be asked{limit_words(response.headers)}{detail}",
                remedy="wait that long"
                if self._credentials
                else f"wait, or log in, which often allows more: rpod login {self._login_name()}",
            )
        return Refused(f"{self.shown}: the registry answered with status {response.status}{detail}")

    def _login_name(self) -> str:
        return "docker.io" if self.host == "registry-1.docker.io" else self.host

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
            raise Refused(f"{self.shown}: the registry names no usable token server ({realm!r})")
        if urlsplit(realm).scheme == "http" and self._scheme == "https":
            raise Refused(
                f"{self.shown}: the token server {realm} is not encrypted, the registry is",
                remedy="ask the registry's operator to serve tokens over https",
            )
        self._scopes = _merged(self._scopes, challenge.parameters.get("scope", "").split())
        service = challenge.parameters.get("service", "")
        credentials = self._credentials
        if credentials is not None and credentials.identity_token:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "scope": " ".join(self._scopes),
                "client_id": "rootless_pod",
                "refresh_token": credentials.identity_token,
            }
            sent = {"Content-Type": "application/x-www-form-urlencoded"}
            response = self._patiently("POST", realm, sent, urlencode(form).encode())
        else:
            query = [("scope", scope) for scope in self._scopes] + ([("service", service)] if service else [])
            sent = {"Authorization": credentials.basic()} if credentials is not None else {}
            joint = "&" if urlsplit(realm).query else "?"
            # No redirect is followed here: it would carry the password along.
            response = self._patiently("GET", f"{realm}{joint}{urlencode(query)}", sent, None)
        response = self.checked(response)
        try:
            document = read_json(response, self.shown, limit=_SMALL_BODY)
        finally:
            response.close()
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise Refused(f"{self.shown}: the token server {realm} gave no token")
        return token


def _merged(scopes: list[str], more: list[str]) -> list[str]:
    """Return ``scopes`` and those of ``more`` that none of them covers (``pull`` is part of ``pull,push``)."""
    merged = list(scopes)
    for scope in more:
        place, _colon, actions = scope.rpartition(":")
        covering = [
            one
            for one in merged
            if one.rpartition(":")[0] == place and set(actions.split(",")) <= set(one.rpartition(":")[2].split(","))
        ]
        if not covering:
            merged = [one for one in merged if one.rpartition(":")[0] != place] + [scope]
    return merged


def read_json(response: Response, shown: str, *, limit: int) -> dict[str, object]:
    """Return the JSON object of an answer (raises Corrupt)."""
    try:
        document = jsontext.loads(read_all(response, limit))
    except ValueError as cause:
        raise Corrupt(f"{shown}: the registry's answer is not JSON: {cause}") from cause
    if not isinstance(document, dict):
        raise Corrupt(f"{shown}: the registry's answer is not a JSON object")
    return document


def read_all(response: Response, limit: int) -> bytes:
    """Return the whole answer (raises Corrupt where it is larger than ``limit``)."""
    parts: list[bytes] = []
    size = 0
    while part := response.read(65536):
        parts.append(part)
        size += len(part)
        if size > limit:
            raise Corrupt(f"{_bare(response.url)}: the answer is larger than {limit} bytes")
    return b"".join(parts)


def _registry_words(body: bytes) -> str:
    """Return the message of the distribution-spec's error document, shortened to one line."""
    try:
        errors = jsontext.loads(body)["errors"]
        said = "; ".join(str(error.get("message") or error.get("code")) for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return "".join(character if character.isprintable() else " " for character in said)[:300]


def _bare(url: str) -> str:
    """Return an address without its query, which may hold a signature."""
    return url.partition("?")[0]


def _last(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]
