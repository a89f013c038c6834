"""Addresses are given out in turn, taken back, and never twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless_pod.errors import Conflict, Usage
from rootless_pod.network import ipam
from rootless_pod.network.definition import Network, Subnet
from rootless_pod.network.joins import NetworkJoin
from rootless_pod.paths import Paths


@pytest.fixture
def paths(tmp_path):
    found = Paths(graphroot=f"{tmp_path}/root", runroot=f"{tmp_path}/run", boot_id="b" * 32)
    found.prepare()
    return found


def network(*subnets, name="one"):
    made = tuple(one if isinstance(one, Subnet) else Subnet(subnet=one, gateway=first(one)) for one in subnets)
    return Network(name=name, id="1" * 64, interface="podman1", created="", subnets=made)


def first(subnet):
    return subnet.partition("/")[0].removesuffix("0") + "1"


def take(paths, where, who="a", **join):
    lease = ipam.take(
        paths,
        where,
        NetworkJoin(network=where.name, **join),
        container_id=f"{who:0<64}",
        name=f"name-{who}",
        interface="eth0",
    )
    return lease.addresses


def test_the_next_address_is_taken_and_one_given_back_waits_for_its_turn(paths):
    where = network("10.89.0.0/29")
    assert take(paths, where, "a") == ("10.89.0.2/29",)
    assert take(paths, where, "b") == ("10.89.0.3/29",)
    ipam.drop(paths, f"{'a':0<64}")
    assert [take(paths, where, who) for who in "cdef"] == [
        ("10.89.0.4/29",), ("10.89.0.5/29",), ("10.89.0.6/29",), ("10.89.0.2/29",),
    ]  # fmt: skip
    with pytest.raises(Conflict, match=r"failed to find free IP in range: 10\.89\.0\.1 - 10\.89\.0\.6"):
        take(paths, where, "g")


def test_both_families_have_an_address_each(paths):
    where = network("10.89.0.0/24", "fd00:1::/64")
    assert take(paths, where) == ("10.89.0.2/24", "fd00:1::2/64")


def test_the_lease_range_bounds_what_is_chosen_but_not_what_is_asked_for(paths):
    where = network(Subnet(subnet="10.89.0.0/24", gateway="10.89.0.1", lease_range=("10.89.0.128", "10.89.0.129")))
    assert take(paths, where, "a") == ("10.89.0.128/24",)
    assert take(paths, where, "b", ip="10.89.0.9") == ("10.89.0.9/24",)
    assert take(paths, where, "c") == ("10.89.0.129/24",)
    with pytest.raises(Conflict):
        take(paths, where, "d")


def test_a_fixed_address_is_refused_where_it_is_taken_the_gateways_or_elsewhere(paths):
    where = network("10.89.0.0/24")
    take(paths, where, "a", ip="10.89.0.5")
    with pytest.raises(
        Conflict, match=r"requested ip address 10\.89\.0\.5 is already allocated to container ID a0{63}"
    ):
        take(paths, where, "b", ip="10.89.0.5")
    with pytest.raises(Conflict, match="is the gateway of network one"):
        take(paths, where, "b", ip="10.89.0.1")
    with pytest.raises(Usage, match=r"requested static ip 10\.90\.0\.5 not in any subnet on network one"):
        take(paths, where, "b", ip="10.90.0.5")
    with pytest.raises(Usage, match="not in any subnet"):
        take(paths, where, "b", ip6="fd00::5")


def test_a_network_without_addresses_gives_none(paths):
    assert take(paths, network()) == ()


def test_leases_bear_all_names_and_follow_a_rename(paths):
    take(paths, network("10.89.0.0/24"), "a", aliases=("shop", "name-a"))
    container = f"{'a':0<64}"
    lease = ipam.leases_of(paths, container)["one"]
    assert lease.aliases == ("name-a", "shop", container[:12])
    ipam.rename(paths, container, "name-a", "new")
    lease = ipam.lease_of(paths, "one", container)
    assert (lease.name, lease.aliases) == ("new", ("new", "shop", container[:12]))


def test_what_belongs_to_containers_that_are_gone_is_given_back(paths, tmp_path):
    where = network("10.89.0.0/24")
    take(paths, where, "a")
    take(paths, where, "b")
    (tmp_path / "root" / "containers" / f"{'b':0<64}").mkdir()
    ipam.drop_strangers(paths)
    assert ipam.leases_of(paths, f"{'a':0<64}") == {}
    assert ipam.leases_of(paths, f"{'b':0<64}") != {}
    assert ipam.drop(paths, f"{'b':0<64}")
    assert not ipam.drop(paths, f"{'b':0<64}")


@given(bits=st.integers(26, 30), order=st.lists(st.integers(0, 20), max_size=60))
def test_no_address_is_given_out_twice(tmp_path_factory, bits, order):
    place = tmp_path_factory.mktemp("ipam")
    paths = Paths(graphroot=f"{place}/root", runroot=f"{place}/run", boot_id="b" * 32)
    paths.prepare()
    where = network(f"10.89.0.0/{bits}")
    size = 2 ** (32 - bits) - 3
    held: dict[str, tuple[str, ...]] = {}
    for number in order:
        who = f"{number:x}g"
        if who in held:
            ipam.drop(paths, f"{who:0<64}")
            del held[who]
        elif len(held) < size:
            addresses = take(paths, where, who)
            assert addresses not in held.values()
            held[who] = addresses
        else:
            with pytest.raises(Conflict):
                take(paths, where, who)


def test_a_random_mac_address_is_of_one_interface_and_nobodys():
    for _try in range(50):
        first_byte = int(ipam.random_mac()[:2], 16)
        assert first_byte & 1 == 0
        assert first_byte & 2
