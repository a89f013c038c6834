"""Credentials written: containers' auth.json, Docker's config.json, credential helpers.

Files are replaced in one step and readable by their owner only; what else is in them stays.
Source: containers-auth.json(5); Docker's credential helper protocol.
"""

from __future__ import annotations

import base64
import fcntl
import os

from rootless_pod import jsontext
from rootless_pod.config.search import user_config
from rootless_pod.errors import HostUnready, NotFound, ProgramFailed, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.image.registry.auth import HELPER_SECONDS, NO_CREDENTIALS, Credentials, load_table, normal_key
from rootless_pod.state.record import write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

DOCKER_HUB = "https://index.docker.io/v1/"
_FILES = "containers-auth.json"


class Target(Frozen):
    """Where credentials are written: ``path``; ``docker`` says that the file follows Docker's rules for keys."""

    path: str
    docker: bool = False


def choose_target(authfile: str | None = None, compat_file: str | None = None) -> Target:
    """Return the file to write: the one named, ``$REGISTRY_AUTH_FILE``, or podman's own.

    Raises:
        Usage: two files were named.
    """
    if authfile and compat_file:
        raise Usage("--authfile can't go with --compat-auth-file", remedy="use one of the two")
    if compat_file:
        return Target(path=compat_file, docker=True)
    named = authfile or os.environ.get("REGISTRY_AUTH_FILE")
    if named:
        return Target(path=named)
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and os.access(runtime, os.W_OK):
        return Target(path=f"{runtime}/containers/auth.json")
    return Target(path=f"{user_config()}/auth.json")


def store(target: Target, key: str, credentials: Credentials, *, helpers: tuple[str, ...] = ()) -> str:
    """Keep credentials for ``key`` (a host, or a namespace on it); return where: a path, or a helper's name.

    The first of registries.conf's ``helpers`` takes them; without any, the helper that the file names for the host
    or for all, else the file itself.

    Raises:
        HostUnready: the file can't be written, or a helper is missing.
        ProgramFailed: a helper failed.
    """
    named = [helper for helper in helpers if helper != _FILES]
    if named and helpers[0] != _FILES:
        _store_in_helper(named[0], key, credentials)
        return f"credential helper {named[0]}"
    place = _place(target, key)
    used = target.path

    def change(table: dict[str, Any]) -> None:
        nonlocal used
        helper = _helper_for(table, key)
        if helper:
            _store_in_helper(helper, place, credentials)
            used = f"credential helper {helper}"
            return
        text = f"{credentials.username}:{credentials.password}"
        auths = table.setdefault("auths", {})
        for other in [one for one in auths if normal_key(one) == normal_key(place) and one != place]:
            del auths[other]
        auths[place] = {"auth": base64.b64encode(text.encode()).decode()}

    _update(target.path, change)
    return used


def erase(target: Target, key: str, *, helpers: tuple[str, ...] = ()) -> None:
    """Forget the credentials of ``key`` in the file and in every helper.

    Raises:
        NotFound: there were none.
    """
    found = False
    for one in helpers:
        if one != _FILES:
            found = _erase_in_helper(one, key) or found
    place = _place(target, key)

    def change(table: dict[str, Any]) -> None:
        nonlocal found
        helper = _helper_for(table, key)
        if helper:
            found = _erase_in_helper(helper, place) or found
        auths = table.get("auths") or {}
        for one in [one for one in auths if normal_key(one) == normal_key(place)]:
            del auths[one]
            found = True

    if os.path.exists(target.path):
        _update(target.path, change)
    if not found:
        raise NotFound(f"not logged into {key}", remedy=f"run: rpod login {key}", exit_code=125)


def erase_all(target: Target, *, helpers: tuple[str, ...] = ()) -> None:
    """Forget everything in the file and in the helpers it and registries.conf name."""
    for helper in helpers:
        if helper != _FILES:
            for key in _listed(helper):
                _erase_in_helper(helper, key)

    def change(table: dict[str, Any]) -> None:
        for key, helper in (table.get("credHelpers") or {}).items():
            _erase_in_helper(str(helper), key)
        if table.get("credsStore"):
            for key in _listed(str(table["credsStore"])):
                _erase_in_helper(str(table["credsStore"]), key)
        table["auths"] = {}

    if os.path.exists(target.path):
        _update(target.path, change)


def _place(target: Target, key: str) -> str:
    """Return the key as the file writes it: Docker has an address for its own registry."""
    return DOCKER_HUB if target.docker and key == "docker.io" else key


def _helper_for(table: dict[str, Any], key: str) -> str:
    named = table.get("credHelpers") or {}
    return str(named.get(key) or named.get(key.partition("/")[0]) or table.get("credsStore") or "")


def _update(path: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the JSON object in ``path`` under a lock on its directory; a link to a file stays a link."""
    real = os.path.realpath(path)
    directory = os.path.dirname(real)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as cause:
        raise HostUnready(
            f"cannot make {directory}: {cause.strerror}", remedy="give another file: --authfile"
        ) from cause
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        table = load_table(real) or {}
        before = jsontext.dumps(table)
        change(table)
        if jsontext.dumps(table) != before or not os.path.exists(real):
            write_bytes(real, _pretty(table).encode(), durable=True)
    except OSError as cause:
        raise HostUnready(f"cannot write {path}: {cause.strerror}", remedy="give another file: --authfile") from cause
    finally:
        os.close(lock)


def _pretty(table: dict[str, Any]) -> str:
    import json

    return json.dumps(table, indent="\t")


def _run_helper(name: str, action: str, feed: str) -> tuple[int, bytes, str]:
    from rootless_pod.programs.run import run

    program = f"docker-credential-{name}"
    try:
        answer = run([program, action], stdin=feed.encode(), timeout_seconds=HELPER_SECONDS)
    except HostUnready as cause:
        raise HostUnready(
            f"credential helper {program} is not installed",
            remedy=f"install {program}, or take it out of the credentials file",
        ) from cause
    return answer.code, answer.stdout, (answer.stdout + answer.stderr).decode(errors="replace").strip()


def _store_in_helper(name: str, key: str, credentials: Credentials) -> None:
    record = {"ServerURL": key, "Username": credentials.username, "Secret": credentials.password}
    code, _out, said = _run_helper(name, "store", jsontext.dumps(record))
    if code:
        raise ProgramFailed(f"credential helper {name} does not keep the credentials of {key}: {said or code}")


def _erase_in_helper(name: str, key: str) -> bool:
    """Tell whether there was something to erase."""
    code, _out, said = _run_helper(name, "get", key)
    if code and any(words in said.lower() for words in NO_CREDENTIALS):
        return False
    code, _out, said = _run_helper(name, "erase", key)
    if code:
        raise ProgramFailed(f"credential helper {name} does not erase the credentials of {key}: {said or code}")
    return True


def _listed(name: str) -> Iterator[str]:
    code, out, _said = _run_helper(name, "list", "")
    if code:
        return
    try:
        listed = jsontext.loads(out or b"{}")
    except ValueError:
        return
    yield from listed if isinstance(listed, dict) else ()
