"""From what a user typed to a pod, and a pod with its containers at one look."""

from __future__ import annotations

import os

from rootless_pod.container import lookup as containers
from rootless_pod.container import status as states
from rootless_pod.container.pod.record import PodConfig, PodRequest, read
from rootless_pod.errors import Corrupt, NotFound, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.state import names, pods
from rootless_pod.state.containers import is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.lookup import Container
    from rootless_pod.paths import Paths

CREATED, RUNNING, DEGRADED, PAUSED = "Created", "Running", "Degraded", "Paused"
STOPPED, EXITED, ERROR = "Stopped", "Exited", "Error"
STATUSES = (CREATED, RUNNING, DEGRADED, PAUSED, STOPPED, EXITED, ERROR, "Dead")


class Pod(Frozen):
    """One pod at one look; ``members`` are all its containers, oldest first, the infra container among them."""

    config: PodConfig
    members: tuple[Container, ...]

    @property
    def id(self) -> str:
        """The full id."""
        return self.config.id

    @property
    def infra(self) -> Container | None:
        """The infra container, if it is there."""
        return next((one for one in self.members if one.config.is_infra), None)

    @property
    def others(self) -> tuple[Container, ...]:
        """The containers that the user made."""
        return tuple(one for one in self.members if not one.config.is_infra)

    @property
    def is_running(self) -> bool:
        """Whether any of its containers runs."""
        return any(one.status.is_running for one in self.members)

    @property
    def status(self) -> str:
        """What podman would call the state of the pod."""
        return ERROR if self.config.damaged else status_of(tuple(one.status.name for one in self.members))


def status_of(members: tuple[str, ...]) -> str:
    """Return the status of a pod from those of its containers. Source: podman-pod-ps(1) and podman 4.3.1 (probed)."""
    running = sum(name in (states.RUNNING, states.STOPPING) for name in members)
    ended = sum(name == states.EXITED for name in members)
    if not members:
        return CREATED
    if running:
        return RUNNING if running == len(members) else DEGRADED
    if all(name == states.PAUSED for name in members):
        return PAUSED
    if ended:
        return EXITED if ended == len(members) else STOPPED
    return CREATED


def find_id(paths: Paths, text: str) -> str:
    """Return the id of the pod that ``text`` names: a name, an id, or an unambiguous beginning of an id.

    Raises:
        NotFound: there is none.
        Conflict: a prefix fits several.
        Usage: the text is empty.
    """
    if not text:
        raise Usage("the name of a pod is empty")
    held = names.owner(paths.names(pods.KIND), text) if "/" not in text else None
    if held is not None and os.path.isdir(paths.pod(held)):
        return held
    if is_id(text) and os.path.isdir(paths.pod(text)):
        return text
    found = names.with_beginning(pods.pod_ids(paths), text, "pods")
    if found is None:
        raise pods.no_such_pod(text)
    return found


def look(paths: Paths, pod_id: str) -> Pod:
    """Return the pod with this full id and its containers, as they are now; a damaged one says so.

    Raises:
        NotFound: it is gone.
    """
    config = read_or_guess(paths, pod_id)
    members = tuple(one for one in containers.list_all(paths) if one.config.pod_id == pod_id)
    return Pod(config=config, members=members)


def list_all(paths: Paths) -> list[Pod]:
    """Return every pod, oldest first; those vanishing meanwhile are left out, damaged ones say so."""
    ids = pods.pod_ids(paths)
    if not ids:
        return []
    members: dict[str, list[Container]] = {}
    for container in containers.list_all(paths):
        if container.config.pod_id:
            members.setdefault(container.config.pod_id, []).append(container)
    found = []
    for pod_id in ids:
        try:
            found.append(Pod(config=read_or_guess(paths, pod_id), members=tuple(members.get(pod_id, ()))))
        except NotFound:
            continue
    found.sort(key=lambda one: one.config.created_ns)
    return found


def latest(paths: Paths) -> Pod:
    """Return the pod created last.

    Raises:
        NotFound: there is none.
    """
    everything = list_all(paths)
    if not everything:
        raise NotFound("there is no pod", remedy="make one: rpod pod create")
    return everything[-1]


def read_or_guess(paths: Paths, pod_id: str) -> PodConfig:
    """Return the record of a pod; of a damaged one, what else tells about it: the name's link and the directory.

    Raises:
        NotFound: it is gone, or being made.
    """
    try:
        return read(paths, pod_id)
    except Corrupt as cause:
        return guess(paths, pod_id, cause.message)
    except NotFound:
        if not any(one.config.pod_id == pod_id for one in containers.list_all(paths)):
            raise
        return guess(paths, pod_id, "pod.json is gone")


def guess(paths: Paths, pod_id: str, damaged: str) -> PodConfig:
    """Return a record for a pod whose own can't be read; ``infra_id`` stays "".

    Raises:
        NotFound: it is gone.
    """
    try:
        created_ns = os.stat(paths.pod(pod_id)).st_mtime_ns
    except OSError as cause:
        raise pods.no_such_pod(pod_id[:12]) from cause
    return PodConfig(
        id=pod_id, name=name_of(paths, pod_id), created_ns=created_ns, request=PodRequest(), damaged=damaged
    )


def name_of(paths: Paths, pod_id: str) -> str:
    """Return the name that is reserved for a pod, or the beginning of its id."""
    return names_by_id(paths).get(pod_id, pod_id[:12])


def names_by_id(paths: Paths) -> dict[str, str]:
    """Return the reserved names of all pods by id; no record is read."""
    directory = paths.names(pods.KIND)
    try:
        taken = os.listdir(directory)
    except FileNotFoundError:
        return {}
    return {owner: name for name in taken if (owner := names.owner(directory, name)) is not None}


def with_pod_ports(paths: Paths, container: Container) -> Container:
    """Return a container of a pod as those see it who look for its ports: with those of the network it shares."""
    lender = container.config.joined.get("network")
    if not container.config.pod_id or lender is None:
        return container
    try:
        infra = containers.read(paths, lender)
    except (NotFound, Corrupt):
        return container
    published = infra.config.request.network.publish
    ports = (infra.state.get("network") or {}).get("ports") or [one.as_dict() for one in published]
    network = {**(container.state.get("network") or {}), "ports": ports}
    return container.replace(state={**container.state, "network": network})
