"""How a container is connected: the record that ``inspect`` shows and that undoing it needs. HOT."""

from __future__ import annotations

from rootless_pod.frozen import Frozen
from rootless_pod.slirp.driver import PortMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class NetworkStatus(Frozen):
    """How a container is connected: what ``inspect`` shows and ``detach`` undoes.

    ``netns_path`` None is the host's network, "" one that the runtime makes (see ``of_process``). ``owned`` tells
    whether the namespace was made for this container and is ours to take away.
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
    addresses: tuple[str, ...] = ()
    """On named networks: all its own."""
    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()

    def of_process(self, pid: int) -> NetworkStatus:
        """Return the same, naming the namespace that the runtime made for ``pid``."""
        return self.replace(netns_path=f"/proc/{pid}/ns/net") if self.netns_path == "" else self

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**self.as_dict(), "ports": [mapping.as_dict() for mapping in self.ports]}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> NetworkStatus:
        """Undo ``to_json``; keys a later release added are left out."""
        known = {key: value for key, value in record.items() if key in cls._fields}
        for key in ("addresses", "nameservers", "search"):
            known[key] = tuple(known.get(key, ()))
        return cls(**{**known, "ports": tuple(PortMapping(**mapping) for mapping in record.get("ports", ()))})
