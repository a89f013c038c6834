"""Who we are at a registry: containers' auth.json, docker's config.json and credential helpers.

Source: containers-auth.json(5); Docker's credential helper protocol.
"""

from __future__ import annotations

import base64
import binascii
import os

from rootless_pod import jsontext
from rootless_pod.config.search import home, user_config
from rootless_pod.errors import HostUnready, Refused, RpodError, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.oci.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DOCKER_KEYS = ("docker.io", "index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/")
HELPER_SECONDS = 30.0
NO_CREDENTIALS = ("credentials not found", "no credentials", "not found in native keychain")


class Credentials(Frozen):
    """A user name and password, or an identity (refresh) token. Never printed."""

    username: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        """Keep secrets out of tracebacks."""
        return f"Credentials(username={self.username!r})"

    def basic(self) -> str:
        """Return the value of an ``Authorization: Basic`` header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def parse_creds(text: str) -> Credentials:
    """Parse ``--creds USERNAME[:PASSWORD]``.

    Raises:
        Usage: the user name is empty.
    """
    username, _colon, password = text.partition(":")
    if not username:
        raise Usage("--creds has no user name", remedy="write it as --creds USERNAME:PASSWORD")
    return Credentials(username=username, password=password)


def auth_files(authfile: str | None = None) -> tuple[str, ...]:
    """Return the files to look in, best first; a file named by the caller or the environment is the only one.

    Raises:
        Usage: the named file does not exist.
    """
    named = authfile or os.environ.get("REGISTRY_AUTH_FILE")
    if named:
        if not os.path.exists(named):
            raise Usage(f"no credentials file {named}", remedy="give an existing file to --authfile, or log in first")
        return (named,)
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    files = [f"{runtime}/containers/auth.json"] if runtime.startswith("/") else []
    files.append(f"{user_config()}/auth.json")
    docker = os.environ.get("DOCKER_CONFIG") or f"{home()}/.docker"
    files += [f"{docker}/config.json", f"{home()}/.dockercfg"]
    return tuple(files)


def find_credentials(
    reference: Reference, *, authfile: str | None = None, helpers: tuple[str, ...] = ()
) -> Credentials | None:
    """Return what is stored for the reference's registry (the longest matching key wins), or None.

    ``helpers`` are the credential helpers that registries.conf names (``containers-auth.json`` stands for the files).

    Raises:
        Usage: a file is not valid JSON, or the named one is missing.
        HostUnready, Refused: a credential helper is missing or failed.
    """
    for helper in helpers:
        if helper != "containers-auth.json" and (found := _ask_helper(helper, reference.registry)):
            return found
    for path in auth_files(authfile):
        table = load_table(path)
        if table is not None and (found := _from_file(table, reference, path)):
            return found
    return None


def load_table(path: str) -> dict[str, Any] | None:
    """Return what a credentials file holds, None where there is none (raises Usage where it is damaged)."""
    try:
        with open(path, "rb") as file:
            table = jsontext.loads(file.read() or b"{}")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (OSError, ValueError) as cause:
        raise Usage(f"cannot read {path}: {cause}", remedy=f"mend or remove {path}") from cause
    if not isinstance(table, dict):
        raise Usage(f"cannot read {path}: not a JSON object", remedy=f"mend or remove {path}")
    return {"auths": table} if path.endswith("/.dockercfg") else table


def _keys(reference: Reference) -> list[str]:
    """Return the keys that may hold our entry, most specific first: namespaces, then the host."""
    parts = reference.name.split("/")
    keys = ["/".join(parts[:count]) for count in range(len(parts), 1, -1)]
    hosts = _DOCKER_KEYS if reference.registry == "docker.io" else (reference.registry,)
    return [*keys, *hosts]


def _from_file(table: dict[str, Any], reference: Reference, path: str) -> Credentials | None:
    helpers = table.get("credHelpers") or {}
    auths = table.get("auths") or {}
    if not isinstance(helpers, dict) or not isinstance(auths, dict):
        raise Usage(f"{path}: auths and credHelpers must be objects", remedy=f"mend {path}")
    by_place = {normal_key(key): value for key, value in auths.items()}
    for key in _keys(reference):
        if key in helpers:
            return _ask_helper(str(helpers[key]), key)
        entry = by_place.get(normal_key(key))
        if isinstance(entry, dict) and (found := _entry(entry, key, path)):
            return found
    store = table.get("credsStore")
    if store:
        asked = "https://index.docker.io/v1/" if reference.registry == "docker.io" else reference.registry
        return _ask_helper(str(store), asked)
    return None


def normal_key(key: str) -> str:
    """Return a key without scheme and API path (docker writes ``https://host/v1/``)."""
    bare = key.removeprefix("https://").removeprefix("http://").rstrip("/")
    return bare.removesuffix("/v1").removesuffix("/v2") if bare != key else bare


def _entry(entry: dict[str, Any], key: str, path: str) -> Credentials | None:
    token = entry.get("identitytoken") or ""
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            decoded = base64.b64decode(str(entry["auth"]), validate=True).decode()
        except (binascii.Error, ValueError) as cause:
            raise Usage(f"{path}: the entry of {key} is damaged", remedy=f"log in to {key} again") from cause
        username, _colon, password = decoded.partition(":")
        password = password.rstrip("\0")
    if not (username or token):
        return None
    return Credentials(username=username, password=password, identity_token=str(token))


def _ask_helper(name: str, server: str) -> Credentials | None:
    """Run ``docker-credential-NAME get``; None where it has nothing for ``server``."""
    from rootless_pod.programs.run import run

    program = f"docker-credential-{name}"
    try:
        answer = run([program, "get"], stdin=server.encode(), timeout_seconds=HELPER_SECONDS)
    except HostUnready as cause:
        raise HostUnready(
            f"credential helper {program} is not installed",
            remedy=f"install {program}, or take it out of the credentials file",
        ) from cause
    if answer.code != 0:
        said = (answer.stdout + answer.stderr).decode(errors="replace").strip()
        if any(words in said.lower() for words in NO_CREDENTIALS):
            return None
        raise Refused(f"credential helper {program} failed for {server}: {said or answer.code}")
    try:
        found = jsontext.loads(answer.stdout)
        username, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError) as cause:
        raise RpodError(f"credential helper {program} answered with something that is no credential") from cause
    if username == "<token>":
        return Credentials(identity_token=secret)
    return Credentials(username=username, password=secret) if username else None
