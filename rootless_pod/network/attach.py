"""Connect a container: its network namespace, the helper program outside it, and the way back.

``begin`` makes the namespace and starts the helper; the caller prepares the rest of the container meanwhile and
calls ``wait_ready``. ``detach`` undoes both and may run in another process, days later.
"""

from __future__ import annotations

from rootless_pod.frozen import Frozen
from rootless_pod.slirp.driver import PortMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.network.mode import NetworkRequest


class NetworkStatus(Frozen):
    """How a container is connected: what ``inspect`` shows and ``detach`` undoes.

    ``netns_path`` None is the host's network. ``owned`` tells whether the namespace was made for this container.
    ``dns`` is the helper's forwarder, ``host_address`` where the container reaches the host (None: it can't).
    """

    mode: str
    reason: str = ""
    netns_path: str | None = None
    owned: bool = False
    helper: str | None = None
    helper_pid: int | None = None
    helper_started: int | None = None
    ip: str | None = None
    gateway: str | None = None
    dns: str | None = None
    host_address: str | None = None
    mac: str | None = None
    ports: tuple[PortMapping, ...] = ()
    api_socket: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**self.as_dict(), "ports": [mapping.as_dict() for mapping in self.ports]}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> NetworkStatus:
        """Undo ``to_json``; keys a later release added are left out."""
        known = {key: value for key, value in record.items() if key in cls._fields}
        return cls(**{**known, "ports": tuple(PortMapping(**mapping) for mapping in record.get("ports", ()))})


class Attachment:
    """A network being connected; made by ``begin``.

    ``keep_fd`` (-1 where there is none) is to be inherited by the process that lives as long as the container
    (the monitor): the helper ends when its last copy is closed. ``close`` drops ours.
    """

    keep_fd: int
    netns_path: str | None

    def wait_ready(self) -> NetworkStatus:
        """Return when the network and every published port work; after a failure all is undone."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the descriptors of ours (the monitor has ``keep_fd``); idempotent."""
        raise NotImplementedError

    def abort(self) -> None:
        """Undo everything; idempotent."""
        raise NotImplementedError


def begin(
    request: NetworkRequest,
    *,
    container_id: str,
    run_dir: str,
    netns_dir: str,
    probes_dir: str,
    join_netns: str | None = None,
) -> Attachment:
    """Make the namespace and start the helper; nothing is waited for."""
    raise NotImplementedError


def attach(
    request: NetworkRequest,
    *,
    container_id: str,
    run_dir: str,
    netns_dir: str,
    probes_dir: str,
    join_netns: str | None = None,
) -> tuple[NetworkStatus, Attachment]:
    """Connect and wait: ``begin`` and ``wait_ready`` in one."""
    raise NotImplementedError


def detach(status: NetworkStatus) -> None:
    """End the helper, take the namespace away; idempotent, waits for nothing."""
    raise NotImplementedError


def helper_alive(status: NetworkStatus) -> bool:
    """Tell whether the network still has its helper (True where it needs none)."""
    raise NotImplementedError
