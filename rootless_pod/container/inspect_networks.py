"""The part of ``inspect`` about named networks: podman's ``NetworkSettings.Networks``."""

from __future__ import annotations

from rootless_pod.container.lookup import read
from rootless_pod.errors import RpodError
from rootless_pod.network.definitions import DEFAULT_NAME, Networks
from rootless_pod.network.ipam import SHORT_ID, lease_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.lookup import Container
    from rootless_pod.network.joins import NetworkJoin
    from rootless_pod.network.lease import Lease
    from rootless_pod.paths import Paths


def network_names(paths: Paths, container: Container) -> list[str]:
    """Return the names of the networks a container is on, be it through another whose network it shares; sorted."""
    return sorted(join.network for join in owner_of(paths, container).config.request.network.joins)


def owner_of(paths: Paths, container: Container) -> Container:
    """Return the container whose network this one has: itself, or the one it joined."""
    lender = container.config.joined.get("network")
    if lender is None:
        return container
    try:
        return read(paths, lender)
    except RpodError:
        return container


def with_networks(paths: Paths, container: Container, settings: dict[str, Any]) -> dict[str, Any]:
    """Return ``NetworkSettings`` with each network the container is on.

    As with podman, its addresses stand at the top too only where it is on the default network alone.
    """
    owner = owner_of(paths, container)
    joins = owner.config.request.network.joins
    if not joins:
        return settings
    shown = {join.network: _one(paths, owner, join) for join in sorted(joins, key=lambda one: one.network)}
    first = shown.get(DEFAULT_NAME) if len(shown) == 1 else None
    top = {key: first[key] for key in settings if key in first} if first else _addresses(None, {})
    return {
        **settings,
        **top,
        "SandboxKey": (owner.state.get("network") or {}).get("netns_path") or "",
        "Networks": shown,
    }


def _one(paths: Paths, owner: Container, join: NetworkJoin) -> dict[str, Any]:
    gateways: dict[str, str] = {}
    try:
        for subnet in Networks(paths).read(join.network).subnets:
            gateways["6" if ":" in subnet.subnet else "4"] = subnet.gateway
    except RpodError:
        pass  # the definition is gone or damaged; the addresses are still true
    lease = lease_of(paths, join.network, owner.id) if owner.status.is_made else None
    return {
        "EndpointID": "",
        **_addresses(lease, gateways),
        "NetworkID": join.network,
        "DriverOpts": None,
        "IPAMConfig": None,
        "Links": None,
        "Aliases": [*join.aliases, owner.id[:SHORT_ID]],
    }


def _addresses(lease: Lease | None, gateways: dict[str, str]) -> dict[str, Any]:
    """Return the first address of each family, empty without a lease."""
    found = {
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": lease.mac if lease is not None else "",
    }
    for text in lease.addresses if lease is not None else ():
        address, _slash, bits = text.partition("/")
        if ":" in address:
            found |= {
                "IPv6Gateway": gateways.get("6", ""),
                "GlobalIPv6Address": address,
                "GlobalIPv6PrefixLen": int(bits),
            }
        else:
            found |= {"Gateway": gateways.get("4", ""), "IPAddress": address, "IPPrefixLen": int(bits)}
    return found
