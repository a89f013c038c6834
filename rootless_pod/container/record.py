"""``container.json``: what a container was created as; enough to start it again after a reboot. HOT."""

from __future__ import annotations

from rootless_pod.container.request import ContainerRequest, LogRequest
from rootless_pod.container.stored import from_plain, to_plain
from rootless_pod.errors import Corrupt
from rootless_pod.frozen import Frozen
from rootless_pod.network.mode import NetworkRequest
from rootless_pod.slirp.driver import PortMapping
from rootless_pod.spec.request import SpecRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 1


class ContainerConfig(Frozen):
    """A created container. ``command`` is what it runs, ``entrypoint`` how many of its words are the entrypoint.

    ``labels`` are the image's and the caller's, the latter win. ``anonymous_volumes`` are the volumes made for it
    alone, removed with it. ``joined`` maps a namespace
    (``network``, ``pid``, ``ipc``, ``uts``, ``user``) to the id of the container it is shared with, ``required`` are
    the ids of those that have to run before it.
    """

    id: str
    name: str
    created_ns: int
    request: ContainerRequest
    image_id: str = ""
    image_name: str = ""
    command: tuple[str, ...] = ()
    entrypoint: int = 0
    labels: dict[str, str] = {}
    driver: str = ""
    stop_signal: int = 15
    anonymous_volumes: tuple[str, ...] = ()
    joined: dict[str, str] = {}
    required: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """What it runs without the entrypoint, as ``ps`` shows it."""
        return self.command[self.entrypoint :]

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The ids of the containers that have to run before it does, each once."""
        return tuple(dict.fromkeys((*self.required, *self.joined.values())))

    @property
    def rootfs(self) -> str:
        """The directory given with ``--rootfs``, or ""."""
        return self.request.rootfs

    @property
    def pod_id(self) -> str:
        """The pod the container belongs to, or ""."""
        return self.request.pod_id

    @property
    def is_infra(self) -> bool:
        """Whether it holds the namespaces of its pod."""
        return self.request.infra


_CLASSES: dict[str, type[Frozen]] = {
    one.__name__: one
    for one in (ContainerConfig, ContainerRequest, LogRequest, NetworkRequest, PortMapping, SpecRequest)
}


def class_named(name: str) -> type[Frozen] | None:
    """Return the class of a part of a record; the rooms few containers need are imported when one does."""
    if name == "MountRequest":
        from rootless_pod.volumes.resolve import MountRequest

        return MountRequest
    if name == "NetworkJoin":
        from rootless_pod.network.joins import NetworkJoin

        return NetworkJoin
    if name == "SecretRequest":
        from rootless_pod.secrets.request import SecretRequest

        return SecretRequest
    if name == "HealthRequest":
        from rootless_pod.container.health import HealthRequest

        return HealthRequest
    return _CLASSES.get(name)


def record_of(config: ContainerConfig) -> dict[str, Any]:
    """Return the JSON object for ``container.json``; ``image_id`` is at the top for who looks for images in use."""
    return {"version": VERSION, "image_id": config.image_id, "container": to_plain(config)}


def config_from(record: dict[str, Any]) -> ContainerConfig:
    """Undo ``record_of``.

    Raises:
        Corrupt: it is not such a record.
    """
    config = from_plain(record.get("container"), class_named)
    if not isinstance(config, ContainerConfig):
        raise Corrupt("container.json does not hold a container", remedy="remove it: rpod rm -f ID")
    return config
