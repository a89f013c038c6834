"""Change one rule of the user's policy.json; every other byte of meaning in it stays."""

from __future__ import annotations

import json
import os

from rootless_pod.errors import HostUnready, Refused, Usage
from rootless_pod.image.trust.openpgp import Keyring
from rootless_pod.image.trust.policy import SYSTEM_POLICY, find_policy, parse_policy, user_policy
from rootless_pod.image.trust.requirement import KeySource
from rootless_pod.image.trust.strictjson import Malformed, parse_object
from rootless_pod.state.record import write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TYPES = ("signedBy", "sigstoreSigned", "accept", "reject")


def set_rule(
    scope: str, kind: str, keys: tuple[str, ...], *, path: str | None = None, system: str = SYSTEM_POLICY
) -> str:
    """Set what is asked of images below ``scope`` ("default": of all others); return the file that was written.

    The user's own file is written, in one step; the first time it starts as a copy of the machine's. Several keys
    mean that an image must be signed by each of them.

    Raises:
        Usage: scope, kind and keys do not fit.
        Refused: the policy there is can't be read, or a key can't.
        HostUnready: the file can't be written.
    """
    requirements = _requirements(kind, keys)
    target = path or user_policy()
    table = _read(target if os.path.lexists(target) else find_policy(system=system))
    if scope == "default":
        table["default"] = requirements
    else:
        _check_scope(scope)
        table.setdefault("transports", {}).setdefault("docker", {})[scope] = requirements
    if "transports" in table:
        table["transports"] = {
            transport: dict(sorted(scopes.items())) for transport, scopes in sorted(table["transports"].items())
        }
    data = (json.dumps(table, indent=4) + "\n").encode()
    try:
        parse_policy(data, target)
    except Malformed as cause:
        raise Usage(f"cannot set this: {cause}", remedy="see docs/trust.md") from cause
    # A link stays a link: many keep their configuration elsewhere.
    real = os.path.realpath(target)
    try:
        os.makedirs(os.path.dirname(real), mode=0o755, exist_ok=True)
        write_bytes(real, data, durable=True, mode=0o644)
    except OSError as cause:
        raise HostUnready(
            f"cannot write the trust policy {real}: {cause.strerror}", remedy=f"make {os.path.dirname(real)} writable"
        ) from cause
    return target


def _read(path: str | None) -> dict[str, Any]:
    if path is None:
        return {"default": [{"type": "insecureAcceptAnything"}]}
    try:
        with open(path, "rb") as file:
            data = file.read()
        parse_policy(data, path)
        return parse_object(data, path)
    except OSError as cause:
        raise Refused(f"cannot read {path}: {cause.strerror}", remedy=f"make {path} readable") from cause
    except Malformed as cause:
        raise Refused(f"the trust policy {path} is not valid: {cause}", remedy=f"mend {path} first") from cause


def _requirements(kind: str, keys: tuple[str, ...]) -> list[dict[str, str]]:
    if kind in ("accept", "reject"):
        if keys:
            raise Usage(f"trust type {kind} takes no keys", remedy="leave --pubkeysfile out")
        return [{"type": "insecureAcceptAnything" if kind == "accept" else "reject"}]
    if not keys:
        raise Usage(f"trust type {kind} needs at least one public key", remedy="give it with --pubkeysfile FILE")
    paths = [os.path.abspath(key) for key in keys]
    if kind == "signedBy":
        Keyring.read(KeySource(paths=tuple(paths)))
        return [{"type": kind, "keyType": "GPGKeys", "keyPath": path} for path in paths]
    _check_public_keys(tuple(paths))
    return [{"type": kind, "keyPath": path} for path in paths]


def _check_public_keys(paths: tuple[str, ...]) -> None:
    try:
        from rootless_pod.image.trust.publickey import read_keys
    except ImportError as cause:
        from rootless_pod.programs.package import how_to_install

        raise HostUnready(
            "the Python package cryptography is not installed: sigstore keys can't be checked",
            remedy=how_to_install("cryptography"),
        ) from cause
    read_keys(KeySource(paths=paths))


def _check_scope(scope: str) -> None:
    """Hold a scope to being a host, a namespace, a repository, an image's full name, or ``*.domain``."""
    bare = scope.removeprefix("*.")
    bad = not bare or any(not letter.isprintable() or letter in ' *"\\' for letter in bare)
    if bad or "://" in bare or "//" in bare or bare[0] in "/.:-" or bare[-1] in "/.:":
        raise Usage(
            f"{scope!r} is no registry, namespace, repository or image",
            remedy="write it in full, such as docker.io/library/debian, or *.example.com",
        )
