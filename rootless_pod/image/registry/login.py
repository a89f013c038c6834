"""Log in and out: credentials tried at the registry before they are kept."""

from __future__ import annotations

from rootless_pod.config.registries import Endpoint, read_registries
from rootless_pod.errors import NotFound, Refused, Usage
from rootless_pod.image.registry import authfile
from rootless_pod.image.registry.auth import Credentials, find_credentials
from rootless_pod.image.registry.connect import Access, open_session
from rootless_pod.oci.reference import Reference, parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.config.registries import Registries

_PROBE = "rpod-login-probe"


class LoginPlace:
    """What a login is for: a host, or a namespace or repository on it."""

    def __init__(self, text: str, registries: Registries | None = None) -> None:
        """Parse ``HOST[:PORT][/NAMESPACE…]``, a scheme and API path before and after are dropped; "" is the default.

        Raises:
            Usage: it is no such thing, or there is no default.
        """
        self.registries = registries or read_registries()
        if not text:
            if not self.registries.search:
                raise Usage("no registry was given and none is configured", remedy="write rpod login REGISTRY")
            text = self.registries.search[0]
        bare = text.removeprefix("https://").removeprefix("http://").rstrip("/")
        if bare != text:
            bare = bare.removesuffix("/v1").removesuffix("/v2")
        host, slash, namespace = bare.partition("/")
        if host in ("index.docker.io", "registry-1.docker.io"):
            host = "docker.io"
        self.key = f"{host}{slash}{namespace}"
        self.host = host
        probe = parse_reference(f"{namespace or _PROBE}", default_registry="localhost")
        if probe.tag != "latest" or "@" in bare:
            raise Usage(f"{text!r} names an image, not a registry", remedy=f"write {host}/{probe.repository}")
        # Checks the host's grammar; docker.io gets no library/ here.
        parse_reference(f"{host}/{_PROBE}", default_registry=host)
        self.reference = Reference(registry=host, repository=namespace or _PROBE, tag="latest")

    def stored(self, authfile_path: str | None = None) -> Credentials | None:
        """Return what is kept for it (raises Usage where the named file is damaged)."""
        import os

        named = authfile_path or os.environ.get("REGISTRY_AUTH_FILE")
        if named and not os.path.exists(named):
            return None
        return find_credentials(self.reference, authfile=authfile_path, helpers=self.registries.credential_helpers)

    def verify(self, credentials: Credentials, access: Access) -> None:
        """Ask the registry whether it takes them.

        Raises:
            Refused: it does not, or it can't be reached.
        """
        endpoint = self.registries.endpoints(self.reference)[-1]
        there = Endpoint(reference=endpoint.reference.replace(registry=self.host), insecure=endpoint.insecure)
        session = open_session(there, self.registries, access)
        session.shown = self.key
        session.use(credentials)
        response = session.request("GET", "/v2/", {})
        if response.status in (401, 403):
            response.close()
            raise Refused(
                f"{self.key}: the registry does not take this user name and password",
                remedy=f"check them, and run: rpod login {self.key}",
            )
        session.checked(response).close()


def login(place: LoginPlace, credentials: Credentials, access: Access, target: authfile.Target) -> str:
    """Verify and keep credentials; return where they are kept.

    Raises:
        Refused: the registry does not take them; nothing is kept.
    """
    if not credentials.username:
        raise Usage("no user name was given", remedy=f"run: rpod login --username NAME {place.key}")
    if not credentials.password:
        raise Usage("no password was given", remedy=f"run: rpod login --password-stdin {place.key}")
    if ":" in credentials.username or any(not one.isprintable() for one in credentials.username):
        raise Usage("the user name holds a colon or a control character", remedy="give the name alone to --username")
    place.verify(credentials, access)
    return authfile.store(target, place.key, credentials, helpers=place.registries.credential_helpers)


def logout(place: LoginPlace, target: authfile.Target) -> None:
    """Forget what is kept.

    Raises:
        NotFound: nothing was; the message says if another tool keeps some.
    """
    try:
        authfile.erase(target, place.key, helpers=place.registries.credential_helpers)
    except NotFound as fault:
        if place.stored() is None:
            raise
        raise NotFound(
            f"{place.key}: the credentials are kept elsewhere, not in {target.path}",
            remedy="log out with the tool that keeps them, or name their file with --authfile",
            exit_code=125,
        ) from fault
