"""Ranges of addresses: which one a new network gets, and whether one asked for can be had.

Source: podman-network-create(1) and containers.conf(5) (``default_subnet_pools``); what overlaps is podman's rule.
"""

from __future__ import annotations

import ipaddress
import os

from rootless_pod.errors import Conflict, Usage
from rootless_pod.network.definition import Subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    AnyNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_POOLS = (
    ("10.89.0.0/16", 24),
    ("10.90.0.0/15", 24),
    ("10.92.0.0/14", 24),
    ("10.96.0.0/11", 24),
    ("10.128.0.0/9", 24),
)
"""Where subnets are taken from when none is asked for: a range and the length of each prefix."""
_LONGEST_PREFIX = 30
"""One gateway and one container."""
_ULA_FIRST_BYTE = 0xFD
"""RFC 4193: the first byte of a locally assigned prefix."""


def parse_subnet(text: str) -> AnyNetwork:
    """Return the network of ``ADDRESS/LENGTH``; bits beyond the length don't count.

    Raises:
        Usage: it is not of that form.
    """
    try:
        if "/" not in text:
            raise ValueError("it has no prefix length")
        return ipaddress.ip_network(text, strict=False)
    except ValueError as cause:
        raise Usage(f"invalid CIDR address: {text}", remedy="write ADDRESS/LENGTH, such as 10.89.5.0/24") from cause


def parse_range(text: str) -> tuple[str, str]:
    """Return first and last address of ``ADDRESS/LENGTH`` or ``FIRST-LAST``.

    Raises:
        Usage: it is neither.
    """
    if "/" in text:
        found = parse_subnet(text)
        return str(_first_host(found)), str(found.broadcast_address)
    first, dash, last = text.partition("-")
    try:
        low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
        if low.version == high.version and int(low) <= int(high):
            return str(low), str(high)
    except ValueError:
        pass
    what = "runs backwards" if dash and first and last else "is no range of addresses"
    raise Usage(f"--ip-range {text} {what}", remedy="write ADDRESS/LENGTH or FIRST-LAST, such as 10.89.5.10-10.89.5.99")


def complete(wanted: Subnet, used: Iterable[AnyNetwork], *, with_gateway: bool) -> Subnet:
    """Check a subnet that was asked for and give it what it lacks: the first address is the gateway's.

    Raises:
        Usage: gateway or lease range lie outside.
        Conflict: a network of the host or of another definition overlaps.
    """
    found = parse_subnet(wanted.subnet)
    if overlaps(found, used):
        raise Conflict(
            f"subnet {found} is already used on the host or by another config",
            remedy="choose another, or leave out --subnet to get a free one",
        )
    gateway = wanted.gateway
    if gateway:
        gateway = str(_inside(found, gateway, "gateway"))
    elif with_gateway:
        gateway = str(_first_host(found))
    leases = wanted.lease_range
    if leases:
        leases = (
            str(_inside(found, leases[0], "lease range start ip")),
            str(_inside(found, leases[1], "lease range end ip")),
        )
    return Subnet(subnet=str(found), gateway=gateway, lease_range=leases)


def _first_host(subnet: AnyNetwork) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address after that of the network itself, which is its own where there is no other: as podman."""
    return subnet.network_address + (subnet.num_addresses > 1)


def _inside(subnet: AnyNetwork, text: str, what: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as cause:
        raise Usage(f"{what} {text} is not an IP address") from cause
    if address not in subnet:
        raise Usage(f"{what} {text} not in subnet {subnet}", remedy=f"choose an address in {subnet}")
    return address


def overlaps(one: AnyNetwork, others: Iterable[AnyNetwork]) -> bool:
    """Tell whether ``one`` shares an address with any of the others."""
    return any(_share(one, other) for other in others)


def _share(one: AnyNetwork, other: AnyNetwork) -> bool:
    if isinstance(one, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and one.overlaps(other)
    return isinstance(other, ipaddress.IPv6Network) and one.overlaps(other)


def free_ipv4(used: Sequence[AnyNetwork], pools: Iterable[tuple[str, int]] = DEFAULT_POOLS) -> Subnet:
    """Return the first subnet of the pools that nobody uses, without a gateway yet.

    Raises:
        Conflict: there is none left.
    """
    for candidate in _candidates(pools):
        if not overlaps(candidate, used):
            return Subnet(subnet=str(candidate))
    raise Conflict(
        "could not find free subnet from subnet pools",
        remedy="remove networks with rpod network prune, or give one with --subnet",
    )


def check_pool(base: str, length: int) -> tuple[str, int]:
    """Return a range that subnets with a prefix of ``length`` are taken from.

    Raises:
        Usage: it is no range of IPv4, or has no such subnet.
    """
    found = parse_subnet(base)
    if found.version != 4 or not found.prefixlen <= length <= _LONGEST_PREFIX:
        raise Usage(f"{base} can't be cut into IPv4 subnets with prefixes of {length}")
    return str(found), length


def _candidates(pools: Iterable[tuple[str, int]]) -> Iterator[AnyNetwork]:
    for base, length in pools:
        yield from parse_subnet(base).subnets(new_prefix=length)


def free_ipv6(used: Sequence[AnyNetwork]) -> Subnet:
    """Return a random /64 of the private addresses that nobody uses, without a gateway yet."""
    while True:
        prefix = bytes((_ULA_FIRST_BYTE, *os.urandom(7))) + bytes(8)
        candidate = ipaddress.IPv6Network((prefix, 64))
        if not overlaps(candidate, used):
            return Subnet(subnet=str(candidate))
