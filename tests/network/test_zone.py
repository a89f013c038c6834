"""Who is found by which name, and by whom."""

from __future__ import annotations

import ipaddress

from rootless_pod.network.definition import Network, Subnet
from rootless_pod.network.lease import Lease
from rootless_pod.network.zone import View, Zone


def network(name, number, **more):
    subnets = (
        Subnet(subnet=f"10.89.{number}.0/24", gateway=f"10.89.{number}.1"),
        Subnet(subnet=f"fd00:{number}::/64", gateway=f"fd00:{number}::1"),
    )
    return Network(name=name, id=name * 16, interface=name, created="", subnets=subnets, **more)


def lease(container, *addresses, aliases=(), **more):
    return Lease(container=container, name=container, addresses=addresses, aliases=aliases, **more)


WEB_RED = lease("web", "10.89.1.2/24", "fd00:1::2/64", aliases=("www", "Shared"))
DB_RED = lease("db", "10.89.1.3/24", aliases=("shared",))
DB_BLUE = lease("db", "10.89.2.3/24", aliases=("store",), dns=("192.0.2.7",))
BATCH_BLUE = lease("batch", "10.89.2.4/24")
ZONE = Zone(
    {
        "red": network("red", 1, dns_servers=("192.0.2.1",)),
        "blue": network("blue", 2, internal=True),
        "mute": network("mute", 3, dns_enabled=False),
    },
    {"red": [WEB_RED, DB_RED], "blue": [DB_BLUE, BATCH_BLUE], "mute": [lease("web", "10.89.3.2/24")]},
)


def addresses(view, name):
    found = ZONE.addresses(view, name)
    return None if found is None else sorted(str(one) for one in found)


def test_a_container_sees_the_networks_it_is_on():
    assert ZONE.view("red", "10.89.1.2") == View(networks=("red",), servers=("192.0.2.1",), may_forward=True)
    assert ZONE.view("red", "fd00:1::2").networks == ("red",)
    assert ZONE.view("blue", "10.89.2.3").networks == ("blue", "red")
    assert ZONE.view("red", "10.89.1.3").networks == ("red", "blue")


def test_one_without_a_lease_sees_the_network_it_asks_in():
    assert ZONE.view("red", "10.89.1.200") == View(networks=("red",), servers=("192.0.2.1",))


def test_one_from_elsewhere_sees_nothing():
    for network_name, source in (("red", "10.89.2.4"), ("red", "192.0.2.1"), ("red", "nonsense"), ("mute", "10.89.3.2"),
                                 ("nosuch", "10.89.1.2"), ("red", "fe80::1%eth0")):  # fmt: skip
        assert ZONE.view(network_name, source) is None


def test_names_are_found_on_shared_networks_only():
    web, batch = ZONE.view("red", "10.89.1.2"), ZONE.view("blue", "10.89.2.4")
    assert addresses(web, "db") == ["10.89.1.3"]
    assert addresses(web, "store") is None
    assert addresses(web, "batch") is None
    assert addresses(batch, "web") is None
    assert addresses(batch, "db") == ["10.89.2.3"]
    assert addresses(ZONE.view("blue", "10.89.2.3"), "db") == ["10.89.1.3", "10.89.2.3"]


def test_several_containers_share_an_alias():
    assert addresses(ZONE.view("red", "10.89.1.2"), "shared") == ["10.89.1.2", "10.89.1.3", "fd00:1::2"]


def test_internal_networks_lead_nowhere_unless_another_does():
    assert not ZONE.view("blue", "10.89.2.4").may_forward
    assert ZONE.view("blue", "10.89.2.3").may_forward


def test_the_servers_of_a_container_come_before_those_of_its_networks():
    assert ZONE.view("blue", "10.89.2.3").servers == ("192.0.2.7",)
    assert ZONE.view("blue", "10.89.2.4").servers == ()


def test_addresses_have_names():
    web = ZONE.view("red", "10.89.1.2")
    assert ZONE.names_at(web, ipaddress.ip_address("10.89.1.3")) == ["db", "shared"]
    assert ZONE.names_at(web, ipaddress.ip_address("10.89.1.77")) == []
    assert ZONE.names_at(web, ipaddress.ip_address("10.89.2.3")) is None


def test_a_lease_with_a_damaged_address_has_a_name_without_one():
    zone = Zone({"red": network("red", 1)}, {"red": [lease("web", "x/24")]})
    assert zone.addresses(zone.view("red", "10.89.1.2"), "web") == []
