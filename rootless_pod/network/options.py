"""``-o KEY=VALUE`` of a bridge network, and ``--route``: checked, with one spelling for each.

Source: podman-network-create(1), options of the driver bridge.
"""

from __future__ import annotations

import ipaddress

from rootless_pod.errors import Refused, Usage
from rootless_pod.network.definition import StaticRoute
from rootless_pod.network.ranges import parse_subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_MTU_MAX = 65535
_METRIC_MAX = 2**32 - 1
_ALIASES = {"com.docker.network.driver.mtu": "mtu"}
_INTERFACE_ALIAS = "com.docker.network.bridge.name"
_NOT_HERE = {
    "vlan": (
        "the bridge lies in a namespace of its own and no VLAN of the host's devices reaches it",
        "separate containers by a network for each group",
    ),
    "vrf": ("rpod makes no VRF device", "separate containers by a network for each group"),
    "mode": ("rpod manages its bridges itself, and others it can't see without root", "leave it out"),
    "host_interface_name": ("only the shared namespace sees the other end of a pair", "leave it out"),
    "bclim": ("it is an option of macvlan, which needs root", "leave it out"),
    "com.docker.network.bridge.enable_icc": ("containers of one bridge always reach each other", "use two networks"),
}


def check_options(pairs: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return the options with podman's keys and values, and the name of the bridge if one of them gives it.

    Raises:
        Usage: an unknown key, or a value that can't be meant.
        Refused: a key that can't act here.
    """
    found, interface = {}, ""
    for given, value in pairs.items():
        key = _ALIASES.get(given, given)
        if key == _INTERFACE_ALIAS:
            interface = value
        elif key == "mtu":
            found[key] = _number(key, value, _MTU_MAX)
        elif key == "metric":
            found[key] = _number(key, value, _METRIC_MAX)
        elif key == "isolate":
            found[key] = "strict" if value == "strict" else _truth(key, value)
        elif key == "no_default_route":
            found[key] = _truth(key, value)
        elif key in _NOT_HERE:
            reason, remedy = _NOT_HERE[key]
            raise Refused(f"--opt {given} can't act here: {reason}", remedy=remedy)
        else:
            raise Usage(
                f"unsupported bridge network option {given}", remedy="use mtu, isolate, metric, no_default_route"
            )
    return found, interface


def _number(key: str, value: str, most: int) -> str:
    if not (value.isascii() and value.isdigit()) or int(value) > most:
        raise Usage(f"--opt {key}={value}: not a number from 0 to {most}")
    return str(int(value))


def _truth(key: str, value: str) -> str:
    if value not in _TRUE and value not in _FALSE:
        raise Usage(f"--opt {key}={value}: neither true nor false")
    return "true" if value in _TRUE else "false"


def parse_route(text: str) -> StaticRoute:
    """Parse one ``--route DESTINATION/LENGTH,GATEWAY[,METRIC]``.

    Raises:
        Usage: it is not of that form.
    """
    destination, _, rest = text.partition(",")
    gateway, comma, metric = rest.partition(",")
    try:
        found = parse_subnet(destination)
        address = ipaddress.ip_address(gateway)
        if found.version != address.version:
            raise ValueError("destination and gateway are of different families")
        if comma and not (metric.isascii() and metric.isdigit() and int(metric) <= _METRIC_MAX):
            raise ValueError(f"{metric!r} is not a metric")
    except (Usage, ValueError) as cause:
        raise Usage(
            f"--route {text} is not valid: {cause}",
            remedy="write DESTINATION/LENGTH,GATEWAY[,METRIC], such as 10.21.0.0/24,10.89.0.9,100",
        ) from cause
    return StaticRoute(destination=str(found), gateway=str(address), metric=int(metric) if comma else None)


def check_server(text: str) -> str:
    """Return the address of a name server.

    Raises:
        Usage: it is none.
    """
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as cause:
        raise Usage(
            f"unable to parse ip {text}", remedy="give the address of a name server, such as 9.9.9.9"
        ) from cause
