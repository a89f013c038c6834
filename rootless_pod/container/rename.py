"""Give a container another name. The record says which one counts; a mark says that two may be reserved."""

from __future__ import annotations

import os

from rootless_pod.container.lookup import read
from rootless_pod.container.record import record_of
from rootless_pod.container.tell import tell
from rootless_pod.errors import Conflict, NotFound, RpodError
from rootless_pod.state import names
from rootless_pod.state.containers import RENAMING, ContainerLock
from rootless_pod.state.record import read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.record import ContainerConfig
    from rootless_pod.paths import Paths


def rename(context: Context, container_id: str, name: str) -> None:
    """Rename a container, running or not. Killed at any point it has one of the two names and can be found by it.

    Raises:
        Usage: no container can have this name.
        Conflict: another one has it.
        NotFound: the container is gone.
    """
    paths, directory = context.paths, context.paths.names("containers")
    names.check_name(name)
    with ContainerLock(paths, container_id):
        mend(paths, container_id)
        old = read(paths, container_id).config
        if old.name == name:
            return
        drop_leftover(paths, name)
        write_record(_mark(paths, container_id), {"names": [old.name, name]})
        try:
            names.reserve(directory, name, container_id, objects=paths.containers)
        except Conflict:
            os.unlink(_mark(paths, container_id))
            raise
        write_record(f"{paths.container(container_id)}/container.json", record_of(old.replace(name=name)))
        names.release(directory, old.name, container_id)
        _rename_on_networks(paths, old.replace(name=name), old.name)
        os.unlink(_mark(paths, container_id))
        tell(paths, old.replace(name=name), "rename")


def mend(paths: Paths, container_id: str) -> None:
    """Give back the name that a killed ``rename`` left reserved; the caller holds the container's lock."""
    try:
        both = read_record(_mark(paths, container_id)).get("names") or ()
    except NotFound:
        return
    config = read(paths, container_id).config
    name = config.name
    for one in both:
        if one != name:
            names.release(paths.names("containers"), str(one), container_id)
            _rename_on_networks(paths, config, str(one))
    os.unlink(_mark(paths, container_id))


def drop_leftover(paths: Paths, name: str) -> None:
    """Free ``name`` if it is only reserved because a ``rename`` was killed; one that is under way is left alone."""
    holder = names.owner(paths.names("containers"), name)
    if holder is None or not os.path.lexists(_mark(paths, holder)):
        return
    lock = ContainerLock(paths, holder)
    try:
        if lock.acquire(wait=False):
            mend(paths, holder)
    except RpodError:
        return
    finally:
        lock.release()


def _rename_on_networks(paths: Paths, config: ContainerConfig, old: str) -> None:
    """Have it found by its name where it was found by ``old``."""
    if config.request.network.joins:
        from rootless_pod.network.named import rename as rename_lease

        rename_lease(paths, config.id, old, config.name)


def _mark(paths: Paths, container_id: str) -> str:
    return f"{paths.container(container_id)}/{RENAMING}"
