"""The secrets of a container: looked up when it is created, shown to it while it runs.

The data is in no record. That of a mounted one is copied into the container's own directory when it is created, as
podman does, and goes with it; a start copies it on into the bundle (a directory of the user alone, which ends with the
run), owned as the container sees it. That of a variable is read at each start, into the environment in config.json.
"""

from __future__ import annotations

import os

from rootless_pod.errors import HostUnready, NotFound, Refused
from rootless_pod.oci.runtime import ResolvedMount
from rootless_pod.secrets.request import DIRECTORY
from rootless_pod.secrets.store import find, read_data
from rootless_pod.spec.rootless import to_parent
from rootless_pod.state.record import read_bytes, write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.paths import Paths
    from rootless_pod.secrets.request import SecretRequest
    from rootless_pod.spec.generate import Spec
    from rootless_pod.spec.request import SpecRequest
    from rootless_pod.userns.idmap import IdMap, IdRange

_OPTIONS = ("bind", "rprivate", "nosuid", "nodev")


def with_ids(paths: Paths, wanted: tuple[SecretRequest, ...]) -> tuple[SecretRequest, ...]:
    """Return the requests with the ids and names of their secrets.

    Raises:
        NotFound: there is no such secret.
    """
    found = []
    for one in wanted:
        secret = find(paths, one.name)
        found.append(one.replace(id=secret.id, name=secret.name))
    return tuple(found)


def copy_mounted(paths: Paths, container_id: str, wanted: tuple[SecretRequest, ...]) -> None:
    """Keep the data of mounted secrets with a container that is being created.

    Raises:
        NotFound, ProgramFailed, HostUnready: a secret can't be had.
    """
    for position, one in enumerate(one for one in wanted if one.kind == "mount"):
        write_bytes(_copy(paths, container_id, position), _data(paths, one))


def _copy(paths: Paths, container_id: str, position: int) -> str:
    return f"{paths.container(container_id)}/secret-{position}"


def with_variables(paths: Paths, wanted: tuple[SecretRequest, ...], process: SpecRequest) -> SpecRequest:
    """Return the process's request with its secret variables; one given with ``--env`` too keeps that value.

    Raises:
        NotFound, ProgramFailed, HostUnready: a secret can't be had.
        Refused: it holds what no variable can.
    """
    env = []
    for one in wanted:
        if one.kind != "env":
            continue
        data = _data(paths, one)
        if b"\0" in data:
            raise Refused(f"secret {one.name} holds a zero byte and can't be a variable", remedy="use type=mount")
        env.append(f"{one.variable}={data.decode(errors='surrogateescape')}")
    return process.replace(env=(*env, *process.env)) if env else process


def _data(paths: Paths, one: SecretRequest) -> bytes:
    """Return the data of the very secret, or of the one that has its name now."""
    try:
        secret = find(paths, one.id)
    except NotFound:
        secret = find(paths, one.name)
    return read_data(secret)


def _kept(paths: Paths, container_id: str, position: int, one: SecretRequest) -> bytes:
    """Return the copy made when the container was created; one of an older rpod has none and is looked up."""
    try:
        return read_bytes(_copy(paths, container_id, position))
    except FileNotFoundError:
        return _data(paths, one)


def _inner(one: SecretRequest) -> str:
    """Return the path below /run/secrets, or "" for a target elsewhere."""
    return one.path.removeprefix(f"{DIRECTORY}/") if one.path.startswith(f"{DIRECTORY}/") else ""


def mounts(bundle: str, wanted: tuple[SecretRequest, ...]) -> tuple[ResolvedMount, ...]:
    """Return the mounts of what ``write_files`` makes: one for /run/secrets, one for each target elsewhere."""
    mounted = [one for one in wanted if one.kind == "mount"]
    found = []
    if any(_inner(one) for one in mounted):
        found.append(ResolvedMount(source=f"{bundle}/secrets", target=DIRECTORY, options=_OPTIONS))
    found += [
        ResolvedMount(source=f"{bundle}/secret-{position}", target=one.path, options=_OPTIONS)
        for position, one in enumerate(mounted)
        if not _inner(one)
    ]
    return tuple(found)


def write_files(paths: Paths, container_id: str, wanted: tuple[SecretRequest, ...], spec: Spec, id_map: IdMap) -> None:
    """Write the mounted secrets into the bundle, with the owner and mode the container is to see.

    Raises:
        NotFound, ProgramFailed, HostUnready: a secret can't be had or written.
        Refused: its owner does not exist in the container.
    """
    mounted, bundle = [one for one in wanted if one.kind == "mount"], paths.bundle(container_id)
    for position, one in enumerate(mounted):
        inner = _inner(one)
        path = f"{bundle}/secrets/{inner}" if inner else f"{bundle}/secret-{position}"
        owner = (_outer(one, "uid", one.uid, spec, id_map), _outer(one, "gid", one.gid, spec, id_map))
        try:
            if inner:
                _make_directories(bundle, f"secrets/{inner}")
            _write(path, _kept(paths, container_id, position, one), owner, one.mode)
        except OSError as cause:
            raise HostUnready(
                f"cannot write secret {one.name} to {bundle}: {cause.strerror}", remedy="choose another --runroot"
            ) from cause


def _outer(one: SecretRequest, kind: str, number: int, spec: Spec, id_map: IdMap) -> int:
    """Return the id of the user's namespace behind the container's.

    Raises:
        Refused: there is none.
    """
    ranges: tuple[IdRange, ...] = id_map.uids if kind == "uid" else id_map.gids
    number_there: int | None = number
    if spec.mapping.own and not spec.mapping.path:
        number_there = to_parent(spec.mapping.uids if kind == "uid" else spec.mapping.gids, number)
    if number_there is None or not any(
        each.container_id <= number_there < each.container_id + each.size for each in ranges
    ):
        raise Refused(
            f"secret {one.name} can't belong to {kind} {number}: that id does not exist in the container",
            remedy=f"leave out {kind}=, or get subordinate ids (run: rpod doctor)",
        )
    return number_there


def _make_directories(bundle: str, inner: str) -> None:
    parent = bundle
    for name in inner.split("/")[:-1]:
        parent = f"{parent}/{name}"
        try:
            os.mkdir(parent)
        except FileExistsError:
            continue
        os.chmod(parent, 0o755)  # noqa: S103 - every user of the container has to get in; nobody else gets this far


def _write(path: str, data: bytes, owner: tuple[int, int], mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fchown(fd, *owner)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)
