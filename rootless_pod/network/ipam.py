"""Give out the addresses of named networks and take them back.

The caller holds the lock of the shared namespace for all that writes. Readers (``inspect``, the resolver) need none.
"""

from __future__ import annotations

import os

from rootless_pod.errors import Conflict, Corrupt, NotFound, Usage
from rootless_pod.network.lease import LAST_GIVEN, Lease, read_leases
from rootless_pod.state.record import read_bytes, read_record, write_bytes, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.network.definition import Network, Subnet
    from rootless_pod.network.joins import NetworkJoin
    from rootless_pod.paths import Paths

_SUFFIX = ".json"
SHORT_ID = 12


def names_of(container_id: str, container_name: str, join: NetworkJoin) -> tuple[str, ...]:
    """Return the names a container is found by on a network."""
    return tuple(dict.fromkeys((container_name, *join.aliases, container_id[:SHORT_ID])))


def lease_of(paths: Paths, network: str, container_id: str) -> Lease | None:
    """Return a container's lease on a network, or None."""
    try:
        return Lease.from_json(read_record(f"{paths.leases}/{network}/{container_id}{_SUFFIX}"))
    except (NotFound, Corrupt, OSError):
        return None


def leases_of(paths: Paths, container_id: str) -> dict[str, Lease]:
    """Return a container's leases by network."""
    found = ((network, lease_of(paths, network, container_id)) for network in _networks(paths))
    return {network: lease for network, lease in found if lease is not None}


def write_lease(paths: Paths, network: str, lease: Lease) -> None:
    """Write a lease for the others to see."""
    write_record(f"{paths.leases}/{network}/{lease.container}{_SUFFIX}", lease.to_json())


def drop(paths: Paths, container_id: str, network: str = "") -> bool:
    """Give back what a container has, on one network or on all; return whether it had anything."""
    found = False
    for name in (network,) if network else _networks(paths):
        try:
            os.unlink(f"{paths.leases}/{name}/{container_id}{_SUFFIX}")
        except (FileNotFoundError, NotADirectoryError):
            continue
        found = True
    return found


def drop_strangers(paths: Paths) -> None:
    """Give back what belongs to containers that are gone: their records were removed by force or by hand."""
    for network in _networks(paths):
        for container_id in _files(f"{paths.leases}/{network}"):
            if not os.path.isdir(f"{paths.containers}/{container_id}"):
                drop(paths, container_id, network)


def rename(paths: Paths, container_id: str, old: str, new: str) -> None:
    """Have a container found by its new name."""
    for network, lease in leases_of(paths, container_id).items():
        aliases = tuple(dict.fromkeys(new if alias == old else alias for alias in lease.aliases))
        write_lease(paths, network, lease.replace(name=new, aliases=aliases))


def take(
    paths: Paths,
    network: Network,
    join: NetworkJoin,
    *,
    container_id: str,
    name: str,
    interface: str,
    dns: tuple[str, ...] = (),
) -> Lease:
    """Choose addresses on a network and write the lease.

    Raises:
        Usage: a fixed address lies outside the network.
        Conflict: it is somebody else's, or no address is free.
    """
    directory = f"{paths.leases}/{network.name}"
    os.makedirs(directory, mode=0o700, exist_ok=True)
    others = read_leases(paths, network.name)
    holders = {address.partition("/")[0]: lease.container for lease in others for address in lease.addresses}
    check_fixed(network, join)
    addresses = []
    for subnet in network.subnets:
        fixed = next((one for one in (join.ip, join.ip6) if one and _contains(subnet.subnet, one)), "")
        if fixed and fixed in holders and holders[fixed] != container_id:
            raise Conflict(
                f"IPAM error: requested ip address {fixed} is already allocated to container ID {holders[fixed]}",
                remedy="choose another address, or leave it out",
            )
        if fixed and fixed == subnet.gateway:
            raise Conflict(
                f"IPAM error: requested ip address {fixed} is the gateway of network {network.name}",
                remedy="choose another address, or leave it out",
            )
        address = fixed or _next_free(directory, subnet, holders)
        addresses.append(f"{address}/{subnet.subnet.partition('/')[2]}")
    lease = Lease(
        container=container_id,
        name=name,
        addresses=tuple(addresses),
        mac=join.mac or random_mac(),
        interface=interface,
        aliases=names_of(container_id, name, join),
        dns=dns,
    )
    write_lease(paths, network.name, lease)
    return lease


def check_fixed(network: Network, join: NetworkJoin) -> None:
    """Check that fixed addresses lie in the network.

    Raises:
        Usage: one does not.
    """
    for fixed in (join.ip, join.ip6):
        if fixed and not any(_contains(subnet.subnet, fixed) for subnet in network.subnets):
            subnets = ", ".join(subnet.subnet for subnet in network.subnets)
            raise Usage(
                f"requested static ip {fixed} not in any subnet on network {network.name}",
                remedy=f"choose one of {subnets}" if subnets else "leave it out: the network has no addresses",
            )


def random_mac() -> str:
    """Return a MAC address of one interface, given out by nobody."""
    first, *rest = os.urandom(6)
    return ":".join(f"{byte:02x}" for byte in ((first & 0xFC) | 0x02, *rest))


def split_network(subnet: str) -> tuple[int, int, int]:
    """Return the first address as a number, the bits of the prefix and those of an address."""
    text, _slash, bits = subnet.partition("/")
    return _number(text), int(bits), 128 if ":" in text else 32


def _contains(subnet: str, address: str) -> bool:
    if (":" in subnet) != (":" in address):
        return False
    first, bits, width = split_network(subnet)
    return _number(address) >> (width - bits) == first >> (width - bits)


def _next_free(directory: str, subnet: Subnet, holders: dict[str, str]) -> str:
    """Return the address after the one given out last that nobody has, beginning anew at the end.

    An address is not used again at once, as those who spoke to its last holder still know where that one was.
    """
    first, bits, width = split_network(subnet.subnet)
    size = 1 << (width - bits)
    lowest, highest = first + 1, first + size - (2 if width == 32 else 1)
    if subnet.lease_range:
        lowest = max(lowest, _number(subnet.lease_range[0])) if subnet.lease_range[0] else lowest
        highest = min(highest, _number(subnet.lease_range[1])) if subnet.lease_range[1] else highest
    taken = {_number(one) for one in (*holders, subnet.gateway) if one and (":" in one) == (width == 128)}
    last = _last_given(directory).get(subnet.subnet, "")
    number = _number(last) + 1 if last else lowest
    # One of these many is free, if any is.
    for _try in range(min(highest - lowest + 1, len(taken) + 1)):
        if not lowest <= number <= highest:
            number = lowest
        while number in taken and number < highest:
            number += 1
        if lowest <= number <= highest and number not in taken:
            found = _text(number, width)
            _note_last(directory, subnet.subnet, found)
            return found
        number = lowest
    raise Conflict(
        f"IPAM error: failed to find free IP in range: {_text(lowest, width)} - {_text(highest, width)}",
        remedy="stop a container of the network, or make a larger network",
    )


def _last_given(directory: str) -> dict[str, str]:
    from rootless_pod import jsontext

    try:
        record = jsontext.loads(read_bytes(f"{directory}/{LAST_GIVEN}"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _note_last(directory: str, subnet: str, address: str) -> None:
    from rootless_pod import jsontext

    write_bytes(f"{directory}/{LAST_GIVEN}", jsontext.dumps({**_last_given(directory), subnet: address}).encode())


def _number(text: str) -> int:
    import _socket

    return int.from_bytes(_socket.inet_pton(_socket.AF_INET6 if ":" in text else _socket.AF_INET, text), "big")


def _text(number: int, width: int) -> str:
    import _socket

    family = _socket.AF_INET6 if width == 128 else _socket.AF_INET
    return _socket.inet_ntop(family, number.to_bytes(width // 8, "big"))


def _networks(paths: Paths) -> list[str]:
    try:
        return sorted(name for name in os.listdir(paths.leases) if not name.startswith("."))
    except FileNotFoundError:
        return []


def _files(directory: str) -> list[str]:
    """Return the ids of the containers that have a lease in a network's directory."""
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name[: -len(_SUFFIX)] for name in names if name.endswith(_SUFFIX) and not name.startswith("."))
