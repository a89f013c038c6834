"""Bridges in the shared network namespace, and the cables that lead from them into containers.

Everything is made to be as the definitions and leases say, whatever a killed process left: called again it changes
nothing. The caller holds the lock of the shared namespace.
"""

from __future__ import annotations

import errno
import os

from rootless_pod import log
from rootless_pod.errors import HostUnready, RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.linux import netns, nftables
from rootless_pod.linux.rtnetlink import Routing, pack_address
from rootless_pod.network.ipam import random_mac, split_network
from rootless_pod.network.lease import leased_networks
from rootless_pod.slirp.driver import MTU

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.linux.rtnetlink import Link
    from rootless_pod.network.definition import Network
    from rootless_pod.network.lease import Lease
    from rootless_pod.paths import Paths

TABLE = "rpod"
_ROUTE_METRIC = 100  # as netavark
_SRCNAT = 100  # NF_IP_PRI_NAT_SRC of linux/netfilter_ipv4.h
_FAMILIES = (nftables.NFPROTO_IPV4, nftables.NFPROTO_IPV6)


class Cable(Frozen):
    """One network that a container is to be connected with."""

    network: Network
    lease: Lease


def connect(shared_netns: str, container_netns: str, cables: tuple[Cable, ...], active: tuple[Network, ...]) -> None:
    """Connect a container; ``active`` are all networks somebody is on, these ones too.

    Raises:
        HostUnready: the kernel lacks something; what was made goes with the container's namespace.
    """

    def work(shared: int, container: int) -> None:
        netns.enter(shared)
        with Routing() as routing:
            bridges = _make_bridges(routing, active)
            for cable in cables:
                _lay(routing, bridges[cable.network.name], container, cable)
        _lead_on(active)
        netns.enter(container)
        with Routing() as routing:
            for cable in cables:
                _address(routing, cable)

    _inside(work, shared_netns, container_netns)


def renew(shared_netns: str, active: tuple[Network, ...]) -> None:
    """Make the bridges and rules of ``active``, and nothing else.

    Raises:
        HostUnready: the kernel lacks something.
    """

    def work(shared: int) -> None:
        netns.enter(shared)
        with Routing() as routing:
            _make_bridges(routing, active)
        _lead_on(active)

    _inside(work, shared_netns)


def disconnect(container_netns: str, interface: str, left: tuple[Cable, ...] = ()) -> None:
    """Take an interface out of a container, and the cable with it; gone already is fine.

    ``left`` are those that stay: they lead out now, if only the one that goes did.
    """

    def work(container: int) -> None:
        netns.enter(container)
        with Routing() as routing:
            found = routing.links().get(interface)
            if found is not None:
                routing.remove(found.index)
            links = routing.links()
            for cable in left:
                if cable.lease.interface in links:
                    _route(routing, links[cable.lease.interface].index, cable.network)

    if os.path.exists(container_netns):
        _inside(work, container_netns)


def active_networks(paths: Paths, *known: Network) -> tuple[Network, ...]:
    """Return the networks that somebody is on; those whose definition is gone or damaged are left out."""
    from rootless_pod.network.definitions import Networks

    given = {one.name: one for one in known}
    definitions = Networks(paths)
    found = []
    for name in leased_networks(paths):
        try:
            found.append(given.get(name) or definitions.read(name))
        except RpodError as cause:
            log.debug(cause.message)
    return tuple(found)


def mtu_of(network: Network) -> int:
    """Return the size of a network's packets: what was asked for, or the largest that fits the way out."""
    return network.mtu or MTU


def _inside(work: Callable[..., None], *paths: str) -> None:
    """Do ``work`` in a thread that it may lead into the namespaces at ``paths``; it gets a descriptor of each.

    Raises:
        HostUnready: one is gone, or the kernel lacks something.
    """
    opened: list[int] = []
    try:
        for path in paths:
            opened.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))  # noqa: PERF401 - closed below after a failure
        netns.in_thread(lambda: work(*opened))
    except OSError as cause:
        raise _unready(cause) from cause
    finally:
        for fd in opened:
            os.close(fd)


def _unready(cause: OSError) -> HostUnready:
    return HostUnready(
        f"cannot connect a named network: {cause.strerror}",
        remedy="use --network pasta or slirp4netns; see what works here: rpod doctor",
    )


def _make_bridges(routing: Routing, active: tuple[Network, ...]) -> dict[str, Link]:
    """Return each network's bridge, made and addressed; remove those nobody is on or that others have left."""
    links, addresses = routing.links(), routing.addresses()
    wanted = {one.interface: one for one in active}
    for link in list(links.values()):
        if link.kind != "bridge":
            continue
        network = wanted.get(link.name)
        if network is None or (_differs(network, addresses.get(link.index, set()))):
            routing.remove(link.index)
            del links[link.name]
    made = False
    for network in active:
        if network.interface not in links:
            routing.add_bridge(network.interface, mac=random_mac(), mtu=mtu_of(network))
            made = True
    if made:
        links = routing.links()
    for network in active:
        link = links[network.interface]
        if not link.up:
            for address in _gateways(network) - addresses.get(link.index, set()):
                routing.add_address(link.index, address)
            routing.set_up(link.index)
    return {network.name: links[network.interface] for network in active}


def _gateways(network: Network) -> set[str]:
    """Return the addresses of a network's bridge."""
    return {f"{one.gateway}/{one.subnet.partition('/')[2]}" for one in network.subnets if one.gateway}


def _differs(network: Network, addresses: set[str]) -> bool:
    """Tell whether a bridge has addresses of another network of that interface."""
    return bool(addresses - _gateways(network))


def _lay(routing: Routing, bridge: Link, container: int, cable: Cable) -> None:
    """Lay one cable from the bridge into the container's namespace."""
    mtu = mtu_of(cable.network)
    number = 0
    while True:
        try:
            routing.add_veth(
                f"veth{number}",
                master=bridge.index,
                peer=cable.lease.interface,
                peer_netns=container,
                peer_mac=cable.lease.mac,
                mtu=mtu,
            )
        except OSError as cause:
            # The name at either end may be the one that is taken; the container's is chosen by its leases.
            if cause.errno != errno.EEXIST or number > len(routing.links()):
                raise
            number += 1
            continue
        return


def _address(routing: Routing, cable: Cable) -> None:
    """Give the container's end its addresses and routes; this thread is in its namespace."""
    link = routing.links()[cable.lease.interface]
    # Those who knew another container by this address hear at once where it is now.
    _set_quietly(f"/proc/sys/net/ipv4/conf/{link.name}/arp_notify", "1")
    for address in cable.lease.addresses:
        routing.add_address(link.index, address)
    routing.set_up(link.index)
    _route(routing, link.index, cable.network)


def _route(routing: Routing, index: int, network: Network) -> None:
    """Add the routes that a network gives to its containers."""
    options = network.options
    if not network.internal and options.get("no_default_route", "false") == "false":
        for subnet in network.subnets:
            if subnet.gateway:
                routing.add_route(index, subnet.gateway, metric=int(options.get("metric", _ROUTE_METRIC)))
    for route in network.routes:
        routing.add_route(index, route.gateway, destination=route.destination, metric=route.metric)


def _lead_on(active: tuple[Network, ...]) -> None:
    """Let the shared namespace pass packets on, and translate the addresses of those that leave a network.

    Raises:
        HostUnready: packets can't be passed on, or a network is to be kept apart and the kernel has no nf_tables.
    """
    _set("/proc/sys/net/ipv4/ip_forward", "1")
    if any(":" in subnet.subnet for one in active for subnet in one.subnets):
        _set_quietly("/proc/sys/net/ipv6/conf/all/forwarding", "1")
    try:
        for family in _FAMILIES:
            rules(family, active).replace()
    except OSError as cause:
        apart = [one.name for one in active if one.internal or one.isolated]
        if apart:
            raise HostUnready(
                f"network {apart[0]} can't be kept apart: the kernel refuses rules of nf_tables ({cause.strerror})",
                remedy="ask an administrator to load it: modprobe nf_tables nft_masq; or use another network",
            ) from cause
        log.debug(f"no masquerading ({cause.strerror}): the shared namespace answers for its containers instead")
        # The program that leads out sees the containers' own addresses, and is told that they are all here.
        _set_quietly("/proc/sys/net/ipv4/conf/all/proxy_arp", "1")
        _set_quietly("/proc/sys/net/ipv6/conf/all/proxy_ndp", "1")


def trial_rules() -> None:
    """Set rules for the default network in this thread's namespace (raises OSError where the kernel can't)."""
    from rootless_pod.network.definitions import default_network

    rules(nftables.NFPROTO_IPV4, (default_network(),)).replace()


def rules(family: int, active: tuple[Network, ...]) -> nftables.Table:
    """Return what becomes of packets between networks and to the outside.

    As with podman one network reaches another through its gateway, unless both are isolated, or one is strictly so;
    an internal one is reached from nowhere.
    """
    table = nftables.Table(family, TABLE)
    table.chain("postrouting", hook="postrouting", kind="nat", priority=_SRCNAT)
    table.chain("isolated")
    table.chain("forward", hook="forward")
    ipv6 = family == nftables.NFPROTO_IPV6
    for network in active:
        name = network.interface
        if network.internal:
            others = nftables.interface("oifname", name, equal=False)
            table.rule("forward", nftables.interface("iifname", name), others, nftables.drop())
            others = nftables.interface("iifname", name, equal=False)
            table.rule("forward", nftables.interface("oifname", name), others, nftables.drop())
            continue
        if network.isolated:
            others = nftables.interface("oifname", name, equal=False)
            table.rule("forward", nftables.interface("iifname", name), others, nftables.jump("isolated"))
            table.rule("isolated", nftables.interface("oifname", name), nftables.drop())
        if network.options.get("isolate") == "strict":
            _keep_apart(table, name, [one.interface for one in active if one.interface != name])
        for subnet in network.subnets:
            if (":" in subnet.subnet) == ipv6:
                _masquerade(table, family, subnet.subnet)
    return table


def _keep_apart(table: nftables.Table, name: str, others: list[str]) -> None:
    """Let nothing pass between one bridge and the others, isolated or not."""
    for other in others:
        for source, target in ((name, other), (other, name)):
            ways = (nftables.interface("iifname", source), nftables.interface("oifname", target))
            table.rule("forward", *ways, nftables.drop())


def _masquerade(table: nftables.Table, family: int, subnet: str) -> None:
    """Translate what leaves a subnet, but not what is sent to many."""
    bits = split_network(subnet)[1]
    packed = pack_address(subnet.partition("/")[0])[1]
    many, many_bits = (b"\xe0\0\0\0", 4) if family == nftables.NFPROTO_IPV4 else (b"\xff" + bytes(15), 8)
    table.rule(
        "postrouting",
        nftables.address(family, "saddr", packed, bits),
        nftables.address(family, "daddr", packed, bits, equal=False),
        nftables.address(family, "daddr", many, many_bits, equal=False),
        nftables.masquerade(),
    )


def _set(path: str, value: str) -> None:
    """Write a setting of the kernel that must hold.

    Raises:
        HostUnready: it can't be written and has another value.
    """
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(value)
    except OSError as cause:
        try:
            with open(path, encoding="ascii") as file:
                if file.read().strip() == value:
                    return
        except OSError:
            pass
        raise HostUnready(
            f"cannot write {path}: {cause.strerror}", remedy="use --network pasta or slirp4netns"
        ) from cause


def _set_quietly(path: str, value: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(value)
    except OSError as cause:
        log.debug(f"{path}: {cause.strerror}")
