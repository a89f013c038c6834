"""What ``run`` and ``create`` ask for, composed from each room's slice of it. HOT."""

from __future__ import annotations

from rootless_pod.frozen import Frozen
from rootless_pod.network.mode import NetworkRequest
from rootless_pod.spec.request import SpecRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.health import HealthRequest
    from rootless_pod.secrets.request import SecretRequest
    from rootless_pod.volumes.resolve import MountRequest


class LogRequest(Frozen):
    """Where the output is kept: driver as podman spells it, path ("" for the container's own), size in bytes."""

    driver: str = "k8s-file"
    path: str = ""
    size_max: int | None = None
    tag: str = ""


class ContainerRequest(Frozen):
    """One container to make. Either ``image`` or ``rootfs`` (a directory of the user's, written to in place) is set."""

    image: str = ""
    rootfs: str = ""
    rootfs_overlay: bool = False
    name: str = ""
    replace_existing: bool = False
    process: SpecRequest = SpecRequest()
    network: NetworkRequest = NetworkRequest()
    publish_all: bool = False
    expose: tuple[str, ...] = ()
    mounts: tuple[MountRequest, ...] = ()
    volumes_from: tuple[str, ...] = ()
    secrets: tuple[SecretRequest, ...] = ()
    keyring: bool = True  # False: it shares the session's keyring, as containers.conf may say
    auto_remove: bool = False
    remove_image: bool = False
    stop_timeout_seconds: int = 10
    timeout_seconds: int = 0
    restart_policy: str = ""
    restart_retries: int = 0
    health: HealthRequest | None = None
    requires: tuple[str, ...] = ()
    sdnotify: str = "container"
    log: LogRequest = LogRequest()
    runtime: str = ""  # asked for when it was created, or by system migrate; "": the one of the moment
    pid_file: str = ""
    conmon_pid_file: str = ""
    cid_file: str = ""
    pod: str = ""  # as typed: a name or id, or new:NAME; of a container that is made: the name
    pod_id_file: str = ""  # holds the id of the pod
    pod_id: str = ""  # the pod it belongs to, once that was found
    infra: bool = False  # it holds the namespaces of its pod
    init_container: str = ""  # "always" or "once": runs to its end before the others of its pod start
    create_command: tuple[str, ...] = ()
    # how the image is got
    pull: str = "missing"
    platform: str = ""
    tls_verify: bool | None = None
    authfile: str = ""
    credentials: str = ""
    quiet: bool = False
