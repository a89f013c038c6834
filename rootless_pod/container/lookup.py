"""From what a user typed to a container: name, id, or an unambiguous beginning of an id. HOT."""

from __future__ import annotations

import os

from rootless_pod.container.record import ContainerConfig, config_from
from rootless_pod.container.status import Status, status_of
from rootless_pod.errors import Conflict, Corrupt, NotFound, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.state import containers, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.paths import Paths


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
    fitting = [one for one in containers.container_ids(paths) if one.startswith(text)]
    if not fitting:
        raise containers.no_such_container(text)
    if len(fitting) > 1:
        raise Conflict(
            f"{text!r} fits {len(fitting)} containers: {', '.join(sorted(one[:12] for one in fitting))}",
            remedy="give more digits of the id",
        )
    return fitting[0]


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
    return Container(config=config, state=state, status=status_of(paths, container_id, state))


def find(paths: Paths, text: str) -> Container:
    """Return the container that ``text`` names."""
    return read(paths, find_id(paths, text))


def list_all(paths: Paths) -> list[Container]:
    """Return every container, oldest first; those vanishing or damaged meanwhile are left out."""
    found = []
    for container_id in containers.container_ids(paths):
        try:
            found.append(read(paths, container_id))
        except (NotFound, Corrupt):
            continue
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
