"""Which names mean which addresses on the named networks, seen by who asks. Pure: made from definitions and leases.

A container is found by its aliases on each network that it shares with the asker, with or without ``.dns.podman``.
"""

from __future__ import annotations

import ipaddress

from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rootless_pod.network.definition import Network
    from rootless_pod.network.lease import Lease

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

SEARCH_DOMAIN = "dns.podman"
"""What containers of named networks have as ``search`` in their resolv.conf."""


class View(Frozen):
    """What one asker sees: ``networks``, the one asked in first; ``servers`` of its own, () for the host's."""

    networks: tuple[str, ...]
    servers: tuple[str, ...] = ()
    may_forward: bool = True


class Zone:
    """The names and addresses of all networks at one moment."""

    def __init__(self, networks: Mapping[str, Network], leases: Mapping[str, Sequence[Lease]]) -> None:
        """Take the networks that answer names, and who is on each."""
        self.networks = {name: one for name, one in networks.items() if one.dns_enabled}
        self._subnets = {
            name: tuple(ipaddress.ip_network(subnet.subnet) for subnet in one.subnets)
            for name, one in self.networks.items()
        }
        self._names: dict[str, dict[str, list[Address]]] = {}
        self._holders: dict[str, dict[Address, Lease]] = {}
        self._memberships: dict[str, list[str]] = {}
        for name in self.networks:
            self._add(name, leases.get(name, ()))

    def _add(self, network: str, leases: Iterable[Lease]) -> None:
        names: dict[str, list[Address]] = {}
        holders: dict[Address, Lease] = {}
        for lease in leases:
            addresses = [found for text in lease.addresses if (found := _address(text.partition("/")[0])) is not None]
            for address in addresses:
                holders[address] = lease
            for alias in {one.lower() for one in (lease.name, *lease.aliases) if one}:
                names.setdefault(alias, []).extend(addresses)
            self._memberships.setdefault(lease.container, []).append(network)
        self._names[network], self._holders[network] = names, holders

    def view(self, network: str, source: str) -> View | None:
        """Return what the one at ``source`` sees, asking in ``network``; None: it is not of that network."""
        address = _address(source.partition("%")[0])
        if address is None or not any(address in subnet for subnet in self._subnets.get(network, ())):
            return None
        lease = self._holders[network].get(address)
        others = self._memberships.get(lease.container, []) if lease else []
        seen = (network, *[one for one in others if one != network])
        servers = (
            lease.dns
            if lease and lease.dns
            else tuple(dict.fromkeys(server for name in seen for server in self.networks[name].dns_servers))
        )
        may_forward = any(not self.networks[name].internal for name in seen)
        return View(networks=seen, servers=servers, may_forward=may_forward)

    def addresses(self, view: View, name: str) -> list[Address] | None:
        """Return the addresses of a name in lower case without the search domain; None: nobody has it."""
        found: dict[Address, None] = {}
        known = False
        for network in view.networks:
            addresses = self._names.get(network, {}).get(name)
            known = known or addresses is not None
            found.update(dict.fromkeys(addresses or ()))
        return list(found) if known else None

    def names_at(self, view: View, address: Address) -> list[str] | None:
        """Return the names of who has ``address``, [] if nobody has; None: it lies in none of the networks."""
        for network in view.networks:
            if any(address in subnet for subnet in self._subnets[network]):
                lease = self._holders[network].get(address)
                return list(dict.fromkeys((lease.name, *lease.aliases))) if lease else []
        return None


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
