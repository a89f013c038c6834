"""From what a user typed to a container: name, id, or an unambiguous beginning of an id. HOT."""

from __future__ import annotations

import os

from rootless_pod.container.record import ContainerConfig, config_from
from rootless_pod.container.status import Status, status_of
from rootless_pod.errors import Corrupt, NotFound, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.state import containers, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.paths import Paths


_MEND = "run: rpod system check --repair; or remove it: rpod rm -f"


class Container(Frozen):
    """One container at one look: what it was created as, the last claim, and what it is doing."""

    config: ContainerConfig
    state: dict[str, Any]
    status: Status

    @property
    def id(self) -> str:
        """The full id."""
        return self.config.id


def find_id(paths: Paths, text: str) -> str:
    """Return the id of the container ``text`` names.

    Raises:
        NotFound: there is none.
        Conflict: a prefix fits several.
        Usage: the text is empty.
    """
    if not text:
        raise Usage("the name of a container is empty")
    held = names.owner(paths.names("containers"), text) if "/" not in text else None
    if held is not None and os.path.isdir(paths.container(held)) and _is_named(paths, held, text):
        return held
    if containers.is_id(text) and os.path.isdir(paths.container(text)):
        return text
    found = names.with_beginning(containers.container_ids(paths), text, "containers")
    if found is None:
        raise containers.no_such_container(text)
    return found


def _is_named(paths: Paths, container_id: str, name: str) -> bool:
    """Tell whether the container's record has this name too: while it is renamed, two are reserved."""
    if not os.path.lexists(f"{paths.container(container_id)}/{containers.RENAMING}"):
        return True
    return read(paths, container_id).config.name == name


def read(paths: Paths, container_id: str) -> Container:
    """Return the container with this full id, as it is now.

    Raises:
        NotFound: it is gone.
        Corrupt: its record is damaged.
    """
    config = config_from(containers.read_container(paths, container_id))
    state = containers.read_state(paths, container_id)
    if not state and os.path.isdir(paths.bundle(container_id)):
        state = containers.read_state(paths, container_id)  # a start writes it before it makes the bundle
        if not state:
            raise Corrupt(f"state.json of container {container_id[:12]} is gone, though it was started", remedy=_MEND)
    return Container(config=config, state=state, status=status_of(paths, container_id, state))


def find(paths: Paths, text: str, *, damaged: bool = False) -> Container:
    """Return the container that ``text`` names, with ``damaged`` a stand-in for one that can't be read.

    Raises:
        NotFound, Conflict, Corrupt: as ``find_id`` and ``read``.
    """
    container_id = find_id(paths, text)
    try:
        return read(paths, container_id)
    except (NotFound, Corrupt) as error:
        one = None
        if damaged:
            from rootless_pod.container.damaged import stand_in

            one = stand_in(paths, container_id, error)
        if one is None:
            raise
        return one


def list_all(paths: Paths, *, damaged: bool = False) -> list[Container]:
    """Return every container, oldest first; those vanishing meanwhile are left out.

    Those whose records can't be read are left out as well, or with ``damaged`` shown by a stand-in.
    """
    found = []
    for container_id in containers.container_ids(paths):
        try:
            found.append(read(paths, container_id))
        except (NotFound, Corrupt) as error:
            if damaged:
                from rootless_pod.container.damaged import stand_in

                one = stand_in(paths, container_id, error)
                found += [one] if one is not None else []
    found.sort(key=lambda one: one.config.created_ns)
    return found


def latest(paths: Paths) -> Container:
    """Return the container created last.

    Raises:
        NotFound: there is none.
    """
    everything = list_all(paths)
    if not everything:
        raise NotFound("there is no container", remedy="make one: rpod run IMAGE")
    return everything[-1]
