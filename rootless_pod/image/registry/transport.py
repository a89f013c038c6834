"""HTTP for registries: one request over urllib3, with no redirect, retry or credential of its own.

The only place that imports urllib3 and ssl; what they raise leaves here as ``Unreachable``.
"""

from __future__ import annotations

import os
import ssl
import threading
from urllib.parse import urlsplit

import urllib3

from rootless_pod.config.search import user_config
from rootless_pod.errors import Refused, Usage
from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from urllib3.response import BaseHTTPResponse

    Body = bytes | Callable[[], Iterable[bytes]] | None

_VERSION: str = vars(urllib3)["__version__"]
if _VERSION.startswith("1."):  # Debian 12's names its faults otherwise
    from rootless_pod.errors import HostUnready
    from rootless_pod.programs.package import how_to_install

    raise HostUnready(
        f"the Python package urllib3 {_VERSION} is too old to talk to registries: 2.2 or later is needed",
        remedy=how_to_install("'urllib3>=2.2'"),
    )

_CONNECT_SECONDS = 20.0
_READ_SECONDS = 60.0
# A registry may hash and move a large blob before it answers the last request of an upload.
_UPLOAD_READ_SECONDS = 600.0
_CONNECTIONS = 8
USER_AGENT = "rootless_pod"


class Unreachable(Refused):
    """A host did not answer, or broke off. ``plain_http``: it seems to speak http where https was wanted."""

    def __init__(self, message: str, *, remedy: str | None = None, retriable: bool, plain_http: bool = False) -> None:
        """Keep whether asking again makes sense."""
        super().__init__(message, remedy=remedy)
        self.retriable = retriable
        self.plain_http = plain_http


class TlsSettings(Frozen):
    """``verify=False`` takes any certificate; ``cert_dir`` replaces the ``certs.d`` directories."""

    verify: bool = True
    cert_dir: str | None = None


class Response:
    """An answer whose body is read piece by piece; ``close`` gives the connection back."""

    def __init__(self, raw: BaseHTTPResponse, url: str) -> None:
        """Wrap urllib3's response."""
        self._raw = raw
        self.url = url
        self.status: int = raw.status
        self.headers: Mapping[str, str] = raw.headers

    def header_list(self, name: str) -> list[str]:
        """Return every value of a header that may come several times."""
        return list(self._raw.headers.getlist(name))

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, nothing at the end.

        Raises:
            Unreachable: the connection broke.
        """
        try:
            return bytes(self._raw.read(size))
        except (urllib3.exceptions.HTTPError, OSError) as cause:
            # Without the query: it may hold a signature that stands for a password.
            place = self.url.partition("?")[0]
            raise Unreachable(f"{place}: the connection broke: {_words(cause)}", retriable=True) from cause

    def close(self) -> None:
        """End it; the rest of the body is dropped with the connection."""
        self._raw.close()
        self._raw.release_conn()


class Transport:
    """Connections to any number of hosts, for any number of threads; a forked child makes its own."""

    def __init__(self, tls: TlsSettings) -> None:
        """Keep the settings; connections are made when needed."""
        self._tls = tls
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._pid = os.getpid()
        self._lock = threading.Lock()
        if not tls.verify:
            # The user has asked for it with --tls-verify=false or in registries.conf.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def request(self, method: str, url: str, *, headers: Mapping[str, str], body: Body = None) -> Response:
        """Send one request and return the answer, whatever its status.

        A ``body`` that is called gives the pieces to send; ``headers`` must hold their ``Content-Length`` then.

        Raises:
            Unreachable: no answer.
        """
        pool = self._pool(url)
        streams = callable(body)
        try:
            raw = pool.urlopen(
                method,
                url,
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers},
                body=body() if callable(body) else body,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(
                    connect=_CONNECT_SECONDS, read=_UPLOAD_READ_SECONDS if streams else _READ_SECONDS
                ),
            )
        except urllib3.exceptions.SSLError as cause:
            raise _tls_fault(url, cause) from cause
        except urllib3.exceptions.ProxyError as cause:
            raise Unreachable(
                f"the proxy for {_host(url)} failed: {_words(cause)}",
                remedy="check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
                retriable=True,
            ) from cause
        except (urllib3.exceptions.LocationParseError, UnicodeError) as cause:
            raise Usage(f"not a usable URL: {url.partition('?')[0]}") from cause
        except (urllib3.exceptions.HTTPError, OSError) as cause:
            raise _connection_fault(url, cause) from cause
        return Response(raw, url)

    def _pool(self, url: str) -> urllib3.PoolManager:
        if os.getpid() != self._pid:
            self._pools, self._pid = {}, os.getpid()
        host = _host(url)
        place = f"{urlsplit(url).scheme}://{host}"
        with self._lock:
            if place not in self._pools:
                self._pools[place] = self._new_pool(url, host)
            return self._pools[place]

    def _new_pool(self, url: str, host: str) -> urllib3.PoolManager:
        scheme = urlsplit(url).scheme
        context = _tls_context(host, self._tls) if scheme == "https" else None
        proxy = _proxy_for(scheme, host)
        if proxy:
            if "://" not in proxy:
                proxy = f"http://{proxy}"
            credentials = urlsplit(proxy)
            headers = {}
            if credentials.username:
                headers = urllib3.make_headers(proxy_basic_auth=f"{credentials.username}:{credentials.password or ''}")
            return urllib3.ProxyManager(proxy, proxy_headers=headers, ssl_context=context, maxsize=_CONNECTIONS)
        if context is None:
            return urllib3.PoolManager(maxsize=_CONNECTIONS)
        return urllib3.PoolManager(ssl_context=context, maxsize=_CONNECTIONS)


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _words(cause: BaseException) -> str:
    """Say what is at the bottom of urllib3's nested errors."""
    deepest: BaseException = cause
    for _depth in range(6):
        reason = getattr(deepest, "reason", None)
        below = reason if isinstance(reason, BaseException) else (deepest.__cause__ or deepest.__context__)
        if below is None:
            break
        deepest = below
    if isinstance(deepest, OSError) and deepest.strerror:
        return deepest.strerror.lower()
    return str(deepest) or type(deepest).__name__


def _connection_fault(url: str, cause: Exception) -> Unreachable:
    host = _host(url)
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return Unreachable(
            f"cannot find registry {host}: {_words(cause)}",
            remedy="check the registry's name and this machine's network and DNS",
            retriable=True,
        )
    timed_out = isinstance(cause, urllib3.exceptions.TimeoutError)
    # urllib3 counts "connection refused" among the time-outs.
    if timed_out and not isinstance(cause, urllib3.exceptions.NewConnectionError):
        return Unreachable(
            f"registry {host} does not answer", remedy="check the network or HTTPS_PROXY", retriable=True
        )
    return Unreachable(
        f"cannot reach registry {host}: {_words(cause)}",
        remedy="check the registry's name and port, and that it is running",
        retriable=True,
    )


def _tls_fault(url: str, cause: urllib3.exceptions.SSLError) -> Unreachable:
    words = str(cause)
    host = _host(url)
    if "WRONG_VERSION_NUMBER" in words or "RECORD_LAYER_FAILURE" in words or "PACKET_LENGTH_TOO_LONG" in words:
        return Unreachable(
            f"registry {host} speaks http, not https",
            remedy=f"give --tls-verify=false, or mark {host} insecure in registries.conf",
            retriable=False,
            plain_http=True,
        )
    if "CERTIFICATE_VERIFY_FAILED" in words:
        return Unreachable(
            f"registry {host}: its certificate is not trusted: {_words(cause)}",
            remedy=f"put its CA certificate into {user_config()}/certs.d/{host}/ca.crt, or give --tls-verify=false",
            retriable=False,
        )
    return Unreachable(
        f"registry {host}: TLS failed: {_words(cause)}", retriable="EOF" in words, plain_http="EOF" in words
    )


def _tls_context(host: str, tls: TlsSettings) -> ssl.SSLContext:
    """Make the context: the system's CAs and those of ``certs.d/HOST``; client certificates come from there too."""
    if tls.verify:
        context = ssl.create_default_context()
    else:
        # Reading the system's certificates, which nothing is compared with, would cost 60 ms.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_dir is not None:
        directories: tuple[str, ...] = (tls.cert_dir,)
        if not os.path.isdir(tls.cert_dir):
            raise Usage(f"no certificate directory {tls.cert_dir}", remedy="give an existing directory to --cert-dir")
    else:
        places = (user_config(), "/etc/containers", "/etc/docker")
        directories = tuple(f"{place}/certs.d/{host}" for place in places)
    for directory in directories:
        _load_certificates(context, directory)
    return context


def _load_certificates(context: ssl.SSLContext, directory: str) -> None:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    for name in names:
        path = f"{directory}/{name}"
        try:
            if name.endswith(".crt"):
                context.load_verify_locations(path)
            elif name.endswith(".cert"):
                context.load_cert_chain(path, f"{path.removesuffix('.cert')}.key")
        except (ssl.SSLError, OSError) as cause:
            raise Usage(f"cannot use certificate {path}: {cause}", remedy=f"mend or remove {path}") from cause


def _proxy_for(scheme: str, host: str) -> str | None:
    """Return the proxy that the environment names for a host."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass

    return None if proxy_bypass(host) else getproxies().get(scheme)
