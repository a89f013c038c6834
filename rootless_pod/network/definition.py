"""What a named network is: the object that ``network inspect`` shows and ``networks/NAME.json`` holds.

The field names are podman's, so a definition that podman wrote is read as it is.
Source: podman-network-inspect(1), types.Network of containers/common.
"""

from __future__ import annotations

from rootless_pod.errors import Corrupt
from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

BRIDGE = "bridge"
HOST_LOCAL = "host-local"
NO_ADDRESSES = "none"
"""The IPAM driver of a network whose containers get no address."""


class Subnet(Frozen):
    """One range of addresses. ``gateway`` "" : none (an internal network without names)."""

    subnet: str
    gateway: str = ""
    lease_range: tuple[str, str] | None = None
    """First and last address that are given out by themselves; None: all of the subnet."""


class StaticRoute(Frozen):
    """A route that every container of the network gets; ``metric`` None leaves it to the kernel."""

    destination: str
    gateway: str
    metric: int | None = None


class Network(Frozen):
    """One network. ``created`` is RFC 3339 with nanoseconds; ``interface`` the name of its bridge."""

    name: str
    id: str
    interface: str
    created: str
    driver: str = BRIDGE
    subnets: tuple[Subnet, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    ipv6_enabled: bool = False
    internal: bool = False
    dns_enabled: bool = True
    dns_servers: tuple[str, ...] = ()
    """Where names of the outside are asked for, instead of the host's servers."""
    labels: Mapping[str, str] = {}
    options: Mapping[str, str] = {}
    ipam_options: Mapping[str, str] = {"driver": HOST_LOCAL}

    @property
    def mtu(self) -> int:
        """The MTU asked for with ``-o mtu=``; 0: not asked for."""
        return int(self.options.get("mtu", 0))

    @property
    def isolated(self) -> bool:
        """Whether no other network's containers may be reached from this one, nor from them this one."""
        return self.options.get("isolate", "false") != "false"

    def to_json(self) -> dict[str, Any]:
        """Return podman's object: its order, and empty fields left out where podman does."""
        found: dict[str, Any] = {
            "name": self.name,
            "id": self.id,
            "driver": self.driver,
            "network_interface": self.interface,
            "created": self.created,
        }
        if self.subnets:
            found["subnets"] = [_subnet_json(one) for one in self.subnets]
        if self.routes:
            found["routes"] = [_route_json(one) for one in self.routes]
        found |= {"ipv6_enabled": self.ipv6_enabled, "internal": self.internal, "dns_enabled": self.dns_enabled}
        if self.dns_servers:
            found["network_dns_servers"] = list(self.dns_servers)
        for key, pairs in (("labels", self.labels), ("options", self.options), ("ipam_options", self.ipam_options)):
            if pairs:
                found[key] = dict(pairs)
        return found

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Network:
        """Return the network an object describes.

        Raises:
            Corrupt: a field is missing or of another type.
        """
        try:
            found = cls(
                name=_text(record, "name"),
                id=_text(record, "id"),
                interface=_text(record, "network_interface"),
                created=_text(record, "created"),
                driver=_text(record, "driver"),
                subnets=tuple(_subnet(one) for one in record.get("subnets") or ()),
                routes=tuple(_route(one) for one in record.get("routes") or ()),
                ipv6_enabled=bool(record.get("ipv6_enabled")),
                internal=bool(record.get("internal")),
                dns_enabled=bool(record.get("dns_enabled")),
                dns_servers=tuple(str(one) for one in record.get("network_dns_servers") or ()),
                labels=_pairs(record, "labels"),
                options=_pairs(record, "options"),
                ipam_options=_pairs(record, "ipam_options"),
            )
            for key in ("mtu", "metric"):
                int(found.options.get(key, 0))
        except (KeyError, TypeError, ValueError, AttributeError) as cause:
            raise Corrupt(f"the definition of a network is damaged: {cause}") from cause
        return found


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is not a string")
    return value


def _pairs(record: Mapping[str, Any], key: str) -> dict[str, str]:
    return {str(name): str(value) for name, value in (record.get(key) or {}).items()}


def _subnet(record: Mapping[str, Any]) -> Subnet:
    leases = record.get("lease_range")
    found = Subnet(
        subnet=_text(record, "subnet"),
        gateway=str(record.get("gateway") or ""),
        lease_range=(str(leases.get("start_ip") or ""), str(leases.get("end_ip") or "")) if leases else None,
    )
    address, _slash, bits = found.subnet.partition("/")
    if not bits.isdigit() or int(bits) > _address_bits(address):
        raise ValueError(f"{found.subnet!r} is no subnet")
    for one in (found.gateway, *(found.lease_range or ())):
        if one and _address_bits(one) != _address_bits(address):
            raise ValueError(f"{one} is of another family than {found.subnet}")
    return found


def _address_bits(text: str) -> int:
    """Return how many bits an address has (raises ValueError where it is none)."""
    import _socket

    try:
        return 8 * len(_socket.inet_pton(_socket.AF_INET6 if ":" in text else _socket.AF_INET, text))
    except OSError as cause:
        raise ValueError(f"{text!r} is no address") from cause


def _subnet_json(subnet: Subnet) -> dict[str, Any]:
    found: dict[str, Any] = {"subnet": subnet.subnet}
    if subnet.gateway:
        found["gateway"] = subnet.gateway
    if subnet.lease_range:
        found["lease_range"] = {"start_ip": subnet.lease_range[0], "end_ip": subnet.lease_range[1]}
    return found


def _route(record: Mapping[str, Any]) -> StaticRoute:
    metric = record.get("metric")
    return StaticRoute(
        destination=_text(record, "destination"),
        gateway=_text(record, "gateway"),
        metric=None if metric is None else int(metric),
    )


def _route_json(route: StaticRoute) -> dict[str, Any]:
    found: dict[str, Any] = {"destination": route.destination, "gateway": route.gateway}
    if route.metric is not None:
        found["metric"] = route.metric
    return found
