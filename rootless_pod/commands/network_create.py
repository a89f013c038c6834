"""``rpod network create``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag, text, texts
from rootless_pod.commands.pairs import parse_pairs
from rootless_pod.errors import Refused, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.network.definition import Subnet
    from rootless_pod.network.definitions import Wanted

_DEVICE_DRIVERS = ("macvlan", "ipvlan")
_IPAM_DRIVERS = ("host-local", "none")
COMMAND = Command(
    name="create",
    summary="Create a network",
    help=(
        "Makes a bridge network that containers are attached to with --network NAME, and prints its name. Containers "
        "of one network reach each other, by name too. Without --subnet it gets one that is free."
    ),
    options=(
        flag("--disable-dns", "Containers are not found by name"),
        texts("--dns", "Ask this server for names of the outside", metavar="ADDRESS", split=True),
        text("--driver", "bridge, the only one", "-d", default="bridge", metavar="DRIVER"),
        texts("--gateway", "Gateway of a --subnet (default: its first address)", metavar="ADDRESS", split=True),
        flag("--ignore", "Be content if it exists"),
        text("--interface-name", "Name of the bridge (default: podmanN)", metavar="NAME"),
        flag("--internal", "No way out of the network"),
        texts("--ip-range", "Give out addresses of this part of a --subnet", metavar="RANGE"),
        text("--ipam-driver", "host-local, or none: containers get no address", metavar="DRIVER"),
        flag("--ipv6", "Addresses of both families"),
        texts("--label", "Set a label", metavar="KEY=VALUE"),
        texts("--opt", "mtu=N, isolate=true, metric=N, no_default_route=true", "-o", metavar="KEY=VALUE"),
        texts("--route", "A route for each container: DESTINATION,GATEWAY[,METRIC]", metavar="ROUTE"),
        texts("--subnet", "Addresses of the network, one --subnet a family", metavar="ADDRESS/LENGTH"),
    ),
    arguments=(Argument(name="NAME", kind="optional", help="Its name (default: the first free podmanN)"),),
    examples=("rpod network create backend", "rpod network create --subnet 10.77.0.0/24 --internal backend"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Create it and print its name."""
    from rootless_pod.network.definitions import Networks

    wanted = _wanted(call)
    paths = call.paths
    paths.prepare()
    made = Networks(paths).create(wanted, exist_ok=call.flag("ignore"))
    sys.stdout.write(f"{made.name}\n")
    return 0


def _wanted(call: Call) -> Wanted:
    from rootless_pod.network.definitions import Wanted
    from rootless_pod.network.options import check_options, check_server, parse_route

    _check_driver(call.text("driver"))
    ipam_driver = _check_ipam(call.text("ipam_driver"), subnets=call.texts("subnet"))
    options, interface = check_options(parse_pairs(call.texts("opt"), "--opt"))
    servers = tuple(check_server(one) for one in call.texts("dns"))
    names = not call.flag("disable_dns") and ipam_driver != "none"
    if servers and not names:
        raise Usage(
            "cannot set NetworkDNSServers if DNS is not enabled for the network",
            remedy="leave out --dns, or --disable-dns and --ipam-driver none",
        )
    return Wanted(
        name=call.one("name") or "",
        interface=call.text("interface_name") or interface,
        subnets=_subnets(call),
        routes=tuple(parse_route(one) for one in call.texts("route")),
        ipv6=call.flag("ipv6"),
        internal=call.flag("internal"),
        dns_enabled=names,
        dns_servers=servers,
        labels=parse_pairs(call.texts("label"), "--label"),
        options=options,
        ipam_driver=ipam_driver,
        pools=_pools(call),
    )


def _pools(call: Call) -> tuple[tuple[str, int], ...]:
    """Return what containers.conf says where subnets come from."""
    found = call.values.get("subnet_pools")
    return found if isinstance(found, tuple) else ()


def _check_driver(driver: str) -> None:
    if driver in _DEVICE_DRIVERS:
        raise Refused(
            f"the driver {driver} needs a device of the host, which only root may give away",
            remedy="use the driver bridge; with the host's own address: rpod run --network pasta",
        )
    if driver != "bridge":
        raise Usage(f"unsupported driver {driver}", remedy="use the driver bridge")


def _check_ipam(driver: str, *, subnets: tuple[str, ...]) -> str:
    if driver == "dhcp":
        raise Refused(
            "the ipam driver dhcp needs a network of the host with a DHCP server, which no bridge here is part of",
            remedy="leave it out: rpod gives out the addresses of --subnet by itself",
        )
    if driver and driver not in _IPAM_DRIVERS:
        raise Usage(f"unsupported ipam driver {driver!r}", remedy=f"use one of {', '.join(_IPAM_DRIVERS)}")
    if driver == "none" and subnets:
        raise Usage("none ipam driver is set but subnets are given", remedy="leave out one of the two")
    return driver or "host-local"


def _subnets(call: Call) -> tuple[Subnet, ...]:
    from rootless_pod.network.definition import Subnet
    from rootless_pod.network.ranges import parse_range

    subnets, gateways, ranges = call.texts("subnet"), call.texts("gateway"), call.texts("ip_range")
    if not subnets and (gateways or ranges):
        raise Usage("cannot set gateway or range without subnet", remedy="give --subnet too")
    for many, what in ((gateways, "gateways"), (ranges, "ranges")):
        if len(many) > len(subnets):
            raise Usage(f"cannot set more {what} than subnets", remedy="give one for each --subnet")
    return tuple(
        Subnet(
            subnet=subnet,
            gateway=gateways[at] if at < len(gateways) else "",
            lease_range=parse_range(ranges[at]) if at < len(ranges) else None,
        )
        for at, subnet in enumerate(subnets)
    )
