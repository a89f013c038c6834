"""What ``network ls`` and ``network inspect`` say of a network, and which networks filters mean."""

from __future__ import annotations

from rootless_pod.errors import Usage
from rootless_pod.jsontext import Map, NoList, Struct
from rootless_pod.network.definitions import DEFAULT_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any

    from rootless_pod.network.definition import Network
    from rootless_pod.network.lease import Lease
    from rootless_pod.paths import Paths

    Test = Callable[[Network], bool]

LIST_KEYS = ("dangling", "driver", "id", "label", "label!", "name", "until")
PRUNE_KEYS = ("label", "label!", "until")
_SHORT_ID = 12


def inspected(paths: Paths, network: Network) -> dict[str, Any]:
    """Return podman's object, with the containers that have addresses now if there are any, as since podman 5.0."""
    from rootless_pod.network.lease import read_leases

    holders = {one.container: _holder(network, one) for one in read_leases(paths, network.name)}
    return Struct({**as_json(network), **({"containers": Map(holders)} if holders else {})})


def _holder(network: Network, lease: Lease) -> Struct:
    gateways = {":" in one.subnet: one.gateway for one in network.subnets}
    subnets = []
    for address in lease.addresses:
        gateway = gateways.get(":" in address, "")
        subnets.append(Struct({"ipnet": address, **({"gateway": gateway} if gateway else {})}))
    interface = Struct({"subnets": subnets, "mac_address": lease.mac})
    return Struct({"name": lease.name, "interfaces": Map({lease.interface: interface})})


def as_json(network: Network) -> dict[str, Any]:
    """Return podman's object."""
    found = Struct(network.to_json())
    for key in ("subnets", "routes"):
        if key in found:
            found[key] = [Struct(one) for one in found[key]]
    for key in ("labels", "options", "ipam_options"):
        if key in found:
            found[key] = Map(found[key])
    return found


def for_template(network: Network) -> Struct:
    """Return every field, also those that JSON leaves out, under the names that podman's templates know."""
    return Struct(
        {
            "Name": network.name,
            "ID": network.id,
            "Driver": network.driver,
            "NetworkInterface": network.interface,
            "Created": network.created,
            "Subnets": [_subnet(one) for one in network.to_json().get("subnets", ())] or NoList(),
            "Routes": [Struct(_route(one)) for one in network.to_json().get("routes", ())] or NoList(),
            "IPv6Enabled": network.ipv6_enabled,
            "Internal": network.internal,
            "DNSEnabled": network.dns_enabled,
            "NetworkDNSServers": list(network.dns_servers) or NoList(),
            "Labels": Map(network.labels),
            "Options": Map(network.options),
            "IPAMOptions": Map(network.ipam_options),
        }
    )


def _subnet(record: dict[str, Any]) -> Struct:
    leases = record.get("lease_range")
    return Struct(
        {
            "Subnet": record["subnet"],
            "Gateway": record.get("gateway") or None,
            "LeaseRange": Struct({"StartIP": leases["start_ip"], "EndIP": leases["end_ip"]}) if leases else None,
        }
    )


def _route(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "Destination": record["destination"],
        "Gateway": record["gateway"],
        "Metric": record.get("metric"),
    }


def row(network: Network, *, full_id: bool) -> dict[str, Any]:
    """Return a line of ``network ls``: the id cut short unless ``full_id``, the labels as text."""
    labels = ",".join(f"{key}={value}" for key, value in network.labels.items())
    return {
        **for_template(network),
        "ID": network.id if full_id else network.id[:_SHORT_ID],
        "Labels": labels,
    }


def matching(
    networks: list[Network], conditions: tuple[str, ...], *, keys: Collection[str], used: Collection[str] = ()
) -> list[Network]:
    """Return those that fit: the same key twice means either (labels: both), different keys mean both.

    ``used``: the names of the networks that containers are in; the default one counts as used.

    Raises:
        Usage: a key that is not among ``keys``, or a value that can't be meant.
    """
    by_key: dict[str, list[Test]] = {}
    for condition in conditions:
        key, separator, value = condition.partition("=")
        if not separator:
            raise Usage(
                f"filter input must be in the form of filter=value: {condition} is invalid",
                remedy=f"use KEY=VALUE, KEY one of {', '.join(keys)}",
            )
        if key not in keys:
            raise Usage(f'invalid filter "{key}"', remedy=f"use one of {', '.join(keys)}")
        by_key.setdefault(key, []).append(_test(key, value, used))
    found = networks
    for key, tests in by_key.items():
        combine = all if key.startswith("label") else any
        found = [one for one in found if combine(test(one) for test in tests)]
    return found


def _test(key: str, value: str, used: Collection[str]) -> Test:
    if key in ("label", "label!"):
        name, separator, wanted = value.partition("=")
        return lambda one: (name in one.labels and (not separator or one.labels[name] == wanted)) == (key == "label")
    if key == "dangling":
        if value not in ("true", "false"):
            raise Usage(f'invalid dangling filter value "{value}"', remedy="write dangling=true or dangling=false")
        return lambda one: (one.name not in used and one.name != DEFAULT_NAME) == (value == "true")
    if key == "until":
        return _older(value)
    if key == "driver":
        return lambda one: one.driver == value
    return _expression(key, value)


def _older(value: str) -> Test:
    from rootless_pod.commands.image_rows import moment
    from rootless_pod.commands.times import parse_time

    limit = moment(value)
    return lambda one: parse_time(one.created) < limit


def _expression(key: str, value: str) -> Test:
    import re

    try:
        expression = re.compile(value)
    except re.error as cause:
        raise Usage(f"--filter {key}={value}: not a regular expression: {cause}") from cause
    return lambda one: expression.search(one.name if key == "name" else one.id) is not None
