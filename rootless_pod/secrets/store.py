"""The secrets of the store: what is known of each in ``secret.json``, the data with its driver."""

from __future__ import annotations

import os
import time

from rootless_pod.errors import Conflict, Corrupt, NotFound, RpodError, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.secrets.drivers import open_driver
from rootless_pod.state import names
from rootless_pod.state.lock import Lock
from rootless_pod.state.record import read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless_pod.paths import Paths

LARGEST_BYTES = 512000
_ID_LENGTH = 25
_LONGEST_NAME = 64
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_RECORD = "secret.json"
_TYPES = {"id": str, "name": str, "driver": str, "options": dict, "labels": dict, "created_ns": int, "updated_ns": int}


class Secret(Frozen):
    """What is known of a secret; never its data."""

    id: str
    name: str
    driver: str = "file"
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    created_ns: int = 0
    updated_ns: int = 0


def _root(paths: Paths) -> str:
    return f"{paths.graphroot}/secrets"


def _lock(paths: Paths) -> Lock:
    for directory in (_root(paths), paths.locks, paths.names("secrets")):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    return Lock(f"{paths.locks}/secrets.lock")


def check_name(name: str) -> str:
    """Return ``name`` if podman would take it.

    Raises:
        Usage: it would not.
    """
    ends = name[:1].isalnum() and name[-1:].isalnum()
    if not ends or len(name) > _LONGEST_NAME or not set(name) <= _ALLOWED:
        raise Usage(
            f"secret name {name!r} is not valid",
            remedy="use up to 64 letters, digits, '_', '.' and '-', a letter or digit at both ends",
        )
    return name


def create(
    paths: Paths,
    name: str,
    data: bytes,
    *,
    driver: str = "file",
    options: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    replace: bool = False,
) -> Secret:
    """Keep a secret. After a failure, or a kill before the name is taken, there is none of this name, or the former.

    With ``replace`` the former one's driver may fail to delete it; the new one is there all the same.

    Raises:
        Usage: the name, the size, the driver or its options are wrong.
        Conflict: the name is taken, and not ``replace``.
        ProgramFailed, HostUnready: the driver failed.
    """
    check_name(name)
    if not 0 < len(data) < LARGEST_BYTES:
        raise Usage(f"secret data must be larger than 0 and less than {LARGEST_BYTES} bytes, not {len(data)}")
    complete = dict(options or {})
    if driver == "file":
        complete.setdefault("path", f"{_root(paths)}/filedriver")
        complete["path"] = os.path.abspath(complete["path"])
    opened = open_driver(driver, complete)
    with _lock(paths):
        _sweep(paths)
        before = _named(paths, name)
        if before is not None and not replace:
            raise Conflict(f"{name}: secret name in use", remedy=f"use another name, or: rpod secret rm {name}")
        now = time.time_ns()
        secret = Secret(
            id=os.urandom(16).hex()[:_ID_LENGTH],
            name=name,
            driver=driver,
            options=complete,
            labels=dict(labels or {}),
            created_ns=before.created_ns if before is not None else now,
            updated_ns=now,
        )
        os.mkdir(f"{_root(paths)}/{secret.id}", 0o700)
        write_record(f"{_root(paths)}/{secret.id}/{_RECORD}", secret.as_dict(), durable=True)
        try:
            opened.store(secret.id, data)
        except BaseException:
            _forget(paths, secret.id)
            raise
        if before is not None:
            # The old one goes when the new one is there: a kill in between leaves it to the next sweep.
            names.hand_over(paths.names("secrets"), name, secret.id)
            remove(paths, before, locked=True)
        else:
            names.reserve(paths.names("secrets"), name, secret.id, objects=_root(paths))
    return secret


def _forget(paths: Paths, secret_id: str) -> None:
    directory = f"{_root(paths)}/{secret_id}"
    for name in os.listdir(directory):
        os.unlink(f"{directory}/{name}")
    os.rmdir(directory)


def _named(paths: Paths, name: str) -> Secret | None:
    owner = names.owner(paths.names("secrets"), name)
    return _read(paths, owner) if owner is not None else None


def _read(paths: Paths, secret_id: str) -> Secret | None:
    try:
        record = read_record(f"{_root(paths)}/{secret_id}/{_RECORD}")
        for key, kind in _TYPES.items():
            if not isinstance(record.get(key, kind()), kind):
                raise TypeError(key)
        return Secret(**{key: value for key, value in record.items() if key in Secret._fields})
    except NotFound:
        return None
    except TypeError as cause:
        raise Corrupt(f"the record of secret {secret_id} is damaged", remedy="run: rpod secret rm NAME") from cause


def sweep(paths: Paths) -> None:
    """Remove what killed commands left of secrets; a store that never had one stays without their directories."""
    if os.path.isdir(_root(paths)):
        with _lock(paths):
            _sweep(paths)


def _sweep(paths: Paths) -> None:
    """Remove what a killed command left: records whose name never became theirs; their data too, where it can be."""
    for secret_id in os.listdir(_root(paths)):
        if len(secret_id) != _ID_LENGTH:
            continue
        try:
            found = _read(paths, secret_id)
        except Corrupt:
            continue  # shown as such until it is removed
        if found is None:
            _forget(paths, secret_id)  # its maker was killed before it wrote the record: we hold the lock
            continue
        if names.owner(paths.names("secrets"), found.name) == secret_id:
            continue
        try:
            open_driver(found.driver, found.options).delete(secret_id)
        except RpodError:
            pass
        _forget(paths, secret_id)


def list_secrets(paths: Paths) -> list[Secret]:
    """Return all secrets, the oldest first; those with a damaged record are left out and said."""
    found = []
    try:
        ids = os.listdir(paths.names("secrets"))
    except FileNotFoundError:
        return []
    for name in ids:
        try:
            secret = _named(paths, name)
        except Corrupt as damaged:
            from rootless_pod import log

            log.warn(f"secret {name}: {damaged.message}")
            continue
        if secret is not None:
            found.append(secret)
    return sorted(found, key=lambda one: (one.created_ns, one.name))


def names_of_all(paths: Paths) -> tuple[str, ...]:
    """Return the names of all secrets, those with a damaged record too."""
    try:
        return tuple(sorted(os.listdir(paths.names("secrets"))))
    except FileNotFoundError:
        return ()


def forget_damaged(paths: Paths, name: str) -> str:
    """Remove a secret whose record can't be read, and its data where that is a file of the store; return its id."""
    with _lock(paths):
        secret_id = names.owner(paths.names("secrets"), name)
        if secret_id is None:
            return ""  # another command was faster
        open_driver("file", {"path": f"{_root(paths)}/filedriver"}).delete(secret_id)
        names.release(paths.names("secrets"), name, secret_id)
        _forget(paths, secret_id)
    return secret_id


def find(paths: Paths, text: str) -> Secret:
    """Return the secret with this name, id or unambiguous beginning of an id.

    Raises:
        NotFound: there is none.
        Usage: several ids begin so.
    """
    found = _named(paths, text) if text and "/" not in text else None
    if found is None:
        fitting = [one for one in list_secrets(paths) if text and one.id.startswith(text)]
        if len(fitting) > 1:
            raise Usage(f"more than one secret has an id that begins with {text!r}", remedy="give more of it")
        found = fitting[0] if fitting else None
    if found is None:
        raise NotFound(
            f'no secret with name or id "{text}": no such secret', remedy="see: rpod secret ls", exit_code=125
        )
    return found


def read_data(secret: Secret) -> bytes:
    """Return the secret itself.

    Raises:
        NotFound, ProgramFailed, HostUnready: the driver can't give it.
    """
    return open_driver(secret.driver, secret.options).lookup(secret.id)


def remove(paths: Paths, secret: Secret, *, locked: bool = False) -> None:
    """Remove a secret and its data; gone already is fine. A driver that can't delete the data leaves both.

    Raises:
        ProgramFailed, HostUnready: the driver failed.
    """
    if not locked:
        with _lock(paths):
            remove(paths, secret, locked=True)
        return
    open_driver(secret.driver, secret.options).delete(secret.id)
    names.release(paths.names("secrets"), secret.name, secret.id)
    if os.path.isdir(f"{_root(paths)}/{secret.id}"):
        _forget(paths, secret.id)
