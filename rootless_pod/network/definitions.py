"""The networks that are there: one record a network below ``graphroot/networks``, and the default one.

A name can't be taken twice and no two networks share addresses: ``create`` holds ``locks/networks.lock``. The default
network is in no file and always there.
"""

from __future__ import annotations

import os
import time

from rootless_pod.errors import Conflict, Corrupt, HostUnready, NotFound, RpodError, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.network.definition import BRIDGE, HOST_LOCAL, NO_ADDRESSES, Network, StaticRoute, Subnet
from rootless_pod.network.lease import LAST_GIVEN
from rootless_pod.oci.moments import rfc3339
from rootless_pod.state.events import emit
from rootless_pod.state.lock import Lock
from rootless_pod.state.record import read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless_pod.network.ranges import AnyNetwork
    from rootless_pod.paths import Paths

DEFAULT_NAME = "podman"
DEFAULT_ID = "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9"
_DEFAULT_SUBNET = Subnet(subnet="10.88.0.0/16", gateway="10.88.0.1")
_INTERFACE_PREFIX = "podman"
_INTERFACE_LENGTH = 15
"""IFNAMSIZ of linux/if.h without the zero at the end."""
_MODES = frozenset(
    {"bridge", "container", "default", "host", "none", "ns", "pasta", "path", "private", "slirp4netns"}
)  # fmt: skip
_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_SUFFIX = ".json"


class Wanted(Frozen):
    """What a new network shall be. ``name`` "" : the first free ``podmanN``; ``subnets`` (): a free one.

    A subnet's ``lease_range`` and ``gateway`` may be missing; ``options`` have been checked.
    """

    name: str = ""
    interface: str = ""
    subnets: tuple[Subnet, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    ipv6: bool = False
    internal: bool = False
    dns_enabled: bool = True
    dns_servers: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    options: Mapping[str, str] = {}
    ipam_driver: str = HOST_LOCAL
    pools: tuple[tuple[str, int], ...] = ()
    """Where a free subnet is taken from: ranges and lengths of prefixes; (): podman's."""


class Host(Frozen):
    """What a new network must keep clear of: interfaces, and addresses with their prefix length."""

    interfaces: frozenset[str] = frozenset()
    addresses: tuple[str, ...] = ()


class Networks:
    """All networks of a graphroot. Nothing is kept between two calls."""

    def __init__(self, paths: Paths, *, read_host: Callable[[], Host] | None = None) -> None:
        """Name the place. ``read_host`` tells what the host has (for ``create`` alone)."""
        self._paths = paths
        self._read_host = read_host or _read_host

    def find(self, text: str) -> Network:
        """Return the network of this name, or the one whose id is or begins so.

        Raises:
            NotFound: there is none.
            Conflict: several ids begin so.
            Corrupt: its record is damaged.
        """
        return self.read(self.find_name(text))

    def find_name(self, text: str) -> str:
        """Return the name of the network that ``text`` means; its record may be damaged.

        Raises:
            NotFound, Conflict: as ``find``.
        """
        if self.exists(text):
            return text
        fitting = [one.name for one in self.all() if text and one.id.startswith(text)]
        if len(fitting) > 1:
            raise Conflict(f"more than one result for network ID {text}", remedy="give more digits of the id")
        if not fitting:
            raise NotFound(
                f"unable to find network with name or ID {text}: network not found", remedy="see: rpod network ls"
            )
        return fitting[0]

    def exists(self, name: str) -> bool:
        """Tell whether there is a network of exactly this name."""
        return name == DEFAULT_NAME or (_is_name(name) and os.path.exists(self._record(name)))

    def read(self, name: str) -> Network:
        """Return the network of exactly this name.

        Raises:
            NotFound: there is none.
            Corrupt: its record is damaged.
        """
        if name == DEFAULT_NAME:
            return default_network()
        try:
            return Network.from_json(read_record(self._record(name)))
        except Corrupt as cause:
            raise Corrupt(
                f"network {name}: {cause.message}", remedy=f"run: rpod network rm {name}; then create it anew"
            ) from cause
        except NotFound as cause:
            raise NotFound(
                f"unable to find network with name or ID {name}: network not found", remedy="see: rpod network ls"
            ) from cause

    def names(self) -> list[str]:
        """Return the names of all networks, sorted, those with a damaged record too."""
        try:
            listed = os.listdir(self._paths.networks)
        except FileNotFoundError:
            listed = []
        made = (name.removesuffix(_SUFFIX) for name in listed if name.endswith(_SUFFIX))
        return sorted({DEFAULT_NAME, *[name for name in made if _is_name(name)]})

    def all(self) -> list[Network]:
        """Return all networks by name; one with a damaged record is left out, see ``damaged``."""
        found = []
        for name in self.names():
            try:
                found.append(self.read(name))
            except (NotFound, Corrupt):
                continue
        return found

    def damaged(self) -> dict[str, RpodError]:
        """Return what is wrong with each network whose record can't be read."""
        faults: dict[str, RpodError] = {}
        for name in self.names():
            try:
                self.read(name)
            except Corrupt as error:
                faults[name] = error
            except NotFound:
                continue
        return faults

    def create(self, wanted: Wanted, *, exist_ok: bool = False) -> Network:
        """Make a network and return it; with ``exist_ok`` the one that has the name already.

        Raises:
            Usage: a value can't be meant.
            Conflict: name, interface or addresses are taken.
        """
        if wanted.name:
            check_name(wanted.name)
        os.makedirs(self._paths.networks, mode=0o700, exist_ok=True)
        with Lock(f"{self._paths.locks}/networks.lock"):
            self._sweep()
            if wanted.name and self.exists(wanted.name):
                if exist_ok:
                    return self.read(wanted.name)
                raise Conflict(
                    f"network name {wanted.name} already used: network already exists",
                    remedy="use another name, or --ignore",
                )
            made = self._plan(wanted)
            write_record(self._record(made.name), made.to_json(), durable=True)
        emit(self._paths, "network", "create", id=made.id, name=made.name)
        return made

    def _plan(self, wanted: Wanted) -> Network:
        host, others = self._read_host(), self.all()
        taken = {one.interface for one in others} | host.interfaces
        interface = wanted.interface or _free_name(taken, {one.name for one in others} if not wanted.name else set())
        _check_interface(interface, taken)
        subnets: tuple[Subnet, ...] = ()
        if wanted.ipam_driver != NO_ADDRESSES:
            subnets = _subnets(wanted, _used(host, others))
        return Network(
            name=wanted.name or interface,
            id=os.urandom(32).hex(),
            interface=interface,
            created=rfc3339(time.time_ns()),
            driver=BRIDGE,
            subnets=subnets,
            routes=wanted.routes,
            ipv6_enabled=wanted.ipv6 or any(":" in one.subnet for one in subnets),
            internal=wanted.internal,
            dns_enabled=wanted.dns_enabled and wanted.ipam_driver != NO_ADDRESSES,
            dns_servers=wanted.dns_servers,
            labels=dict(wanted.labels),
            options=dict(wanted.options),
            ipam_options={"driver": wanted.ipam_driver},
        )

    def update_servers(self, text: str, *, added: tuple[str, ...], dropped: tuple[str, ...]) -> Network:
        """Change the name servers of a network and return it.

        Raises:
            NotFound, Conflict, Corrupt: as ``find``.
            Usage: it has no names, is in no file, or has no such server.
        """
        with Lock(f"{self._paths.locks}/networks.lock"):
            found = self.find(text)
            if found.name == DEFAULT_NAME or not found.dns_enabled:
                raise Usage(
                    f"network {found.name} answers no names, so it has no servers",
                    remedy="create another network without --disable-dns",
                )
            strange = [one for one in dropped if one not in found.dns_servers]
            if strange:
                raise Usage(f"network {found.name} has no name server {strange[0]}", remedy="see: rpod network inspect")
            kept = [one for one in found.dns_servers if one not in dropped]
            changed = found.replace(dns_servers=tuple(dict.fromkeys((*kept, *added))))
            write_record(self._record(changed.name), changed.to_json(), durable=True)
        return changed

    @staticmethod
    def check_removable(name: str) -> None:
        """Let all names pass but the default one.

        Raises:
            Usage: it is the default network.
        """
        if name == DEFAULT_NAME:
            raise Usage(f"default network {DEFAULT_NAME} cannot be removed", remedy="leave it: it is in no file")

    def remove(self, name: str) -> None:
        """Forget a network; gone already is fine, and so is a damaged record. Who uses it is the caller's question.

        Raises:
            Usage: it is the default network.
        """
        self.check_removable(name)
        network_id = ""
        with Lock(f"{self._paths.locks}/networks.lock"):
            try:
                network_id = self.read(name).id
            except (NotFound, Corrupt):
                pass
            try:
                os.unlink(self._record(name))
            except FileNotFoundError:
                return
        directory = f"{self._paths.leases}/{name}"
        try:
            os.unlink(f"{directory}/{LAST_GIVEN}")
            os.rmdir(directory)
        except OSError:
            pass  # no container was ever on it, or one still is
        emit(self._paths, "network", "remove", id=network_id, name=name)

    def _sweep(self) -> None:
        """Delete what killed commands left half written; the lock is held, so nobody writes now."""
        for name in os.listdir(self._paths.networks):
            if name.startswith(".") and name.endswith(".tmp"):
                os.unlink(f"{self._paths.networks}/{name}")

    def _record(self, name: str) -> str:
        return f"{self._paths.networks}/{name}{_SUFFIX}"


def _read_host() -> Host:
    from rootless_pod.linux.rtnetlink import Routing

    try:
        with Routing() as routing:
            names, addresses = routing.links(), routing.addresses()
    except OSError as cause:
        raise HostUnready(f"the host's interfaces can't be read: {cause.strerror}") from cause
    return Host(interfaces=frozenset(names), addresses=tuple(one for found in addresses.values() for one in found))


def default_network() -> Network:
    """Return the network that is always there."""
    return Network(
        name=DEFAULT_NAME,
        id=DEFAULT_ID,
        interface=f"{_INTERFACE_PREFIX}0",
        created=rfc3339(time.time_ns()),
        subnets=(_DEFAULT_SUBNET,),
        dns_enabled=False,
    )


def _is_name(name: str) -> bool:
    return name[:1].isalnum() and set(name) <= _NAME_LETTERS


def check_name(name: str) -> None:
    """Check the name of a new network.

    Raises:
        Usage: it has other characters than podman takes, or means something else to ``--network``.
    """
    if not _is_name(name) or len(name) > 200:
        raise Usage(f"network name {name} invalid: names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*")
    if name in _MODES:
        raise Usage(
            f'cannot create network with name "{name}" because it conflicts with a valid network mode',
            remedy="use another name",
        )


def _check_interface(interface: str, taken: set[str]) -> None:
    if interface in taken:
        raise Conflict(f"bridge name {interface} already in use", remedy="choose another --interface-name")
    if not _is_name(interface) or len(interface) > _INTERFACE_LENGTH:
        raise Usage(
            f"bridge name {interface} invalid",
            remedy=f"use at most {_INTERFACE_LENGTH} letters, digits, '_', '.' and '-', a letter or digit first",
        )


def _free_name(interfaces: set[str], names: set[str]) -> str:
    """Return the first ``podmanN`` that neither an interface nor one of ``names`` has."""
    number = 1
    while (name := f"{_INTERFACE_PREFIX}{number}") in interfaces or name in names:
        number += 1
    return name


def _used(host: Host, others: list[Network]) -> list[AnyNetwork]:
    from rootless_pod.network.ranges import parse_subnet

    texts = (*host.addresses, *[subnet.subnet for one in others for subnet in one.subnets])
    return [parse_subnet(text) for text in texts]


def _subnets(wanted: Wanted, used: list[AnyNetwork]) -> tuple[Subnet, ...]:
    """Return the subnets asked for, checked and completed, and free ones for the families that lack one."""
    from rootless_pod.network.ranges import DEFAULT_POOLS, complete, free_ipv4, free_ipv6, parse_subnet

    with_gateway = not wanted.internal or wanted.dns_enabled
    found: list[Subnet] = []

    def add(subnet: Subnet) -> None:
        found.append(complete(subnet, used, with_gateway=with_gateway))
        used.append(parse_subnet(subnet.subnet))

    for subnet in wanted.subnets:
        add(subnet)
    has_ipv4 = any(":" not in one.subnet for one in found)
    if not found or (wanted.ipv6 and not has_ipv4):
        add(free_ipv4(used, wanted.pools or DEFAULT_POOLS))
    if wanted.ipv6 and not any(":" in one.subnet for one in found):
        add(free_ipv6(used))
    return tuple(found)
