"""``pod.json``: what a pod was created as. Written once; who is in the pod, and how it is, is looked up each time."""

from __future__ import annotations

from rootless_pod.container.record import class_named
from rootless_pod.container.stored import from_plain, to_plain
from rootless_pod.errors import Corrupt
from rootless_pod.frozen import Frozen
from rootless_pod.network.mode import NetworkRequest
from rootless_pod.spec.request import SpecRequest
from rootless_pod.state import pods

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.paths import Paths
    from rootless_pod.volumes.resolve import MountRequest

VERSION = 1
SHARED_BY_DEFAULT = ("ipc", "net", "uts")
NAMESPACES = ("cgroup", "ipc", "net", "pid", "user", "uts")
EXIT_POLICIES = ("continue", "stop")


class PodRequest(Frozen):
    """What ``pod create`` asks for.

    ``process`` holds what the infra container gets and its members inherit (user namespace, devices, security
    options, sysctls, host name), and the limits that the pod has as a whole. ``share`` names the shared namespaces.
    """

    name: str = ""
    share: tuple[str, ...] = SHARED_BY_DEFAULT
    share_parent: bool = True
    exit_policy: str = "continue"
    infra: bool = True
    infra_name: str = ""
    infra_image: str = ""
    infra_command: tuple[str, ...] = ()
    infra_conmon_pid_file: str = ""
    labels: tuple[str, ...] = ()
    network: NetworkRequest = NetworkRequest()
    process: SpecRequest = SpecRequest()
    mounts: tuple[MountRequest, ...] = ()
    volumes_from: tuple[str, ...] = ()
    id_file: str = ""
    replace_existing: bool = False
    create_command: tuple[str, ...] = ()


class PodConfig(Frozen):
    """A created pod. ``infra_id`` is fixed from the start, so that an infra container that got lost can be made anew.

    ``damaged`` is why the record could not be read: then only ``id`` and ``name`` mean something.
    """

    id: str
    name: str
    created_ns: int
    request: PodRequest
    infra_id: str = ""
    damaged: str = ""

    @property
    def hostname(self) -> str:
        """The host name of those who share the pod's."""
        return self.request.process.hostname or self.name


def _class_named(name: str) -> type[Frozen] | None:
    known: dict[str, type[Frozen]] = {"PodConfig": PodConfig, "PodRequest": PodRequest}
    return known.get(name) or class_named(name)


def record_of(config: PodConfig) -> dict[str, Any]:
    """Return the JSON object for ``pod.json``."""
    return {"version": VERSION, "pod": to_plain(config)}


def read(paths: Paths, pod_id: str) -> PodConfig:
    """Return the pod with this full id.

    Raises:
        NotFound: it is gone.
        Corrupt: its record is damaged.
    """
    return _checked(pods.read_pod(paths, pod_id), pod_id)


def read_second(paths: Paths, pod_id: str) -> PodConfig:
    """Return the pod as the second copy of its record has it (raises as ``read``)."""
    return _checked(pods.read_pod(paths, pod_id, pods.SECOND), pod_id)


def _checked(record: dict[str, Any], pod_id: str) -> PodConfig:
    config = from_plain(record.get("pod"), _class_named)
    if not isinstance(config, PodConfig):
        raise Corrupt(f"the record of pod {pod_id[:12]} does not hold a pod", remedy=f"rpod pod rm -f {pod_id[:12]}")
    return config
