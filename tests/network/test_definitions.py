"""The networks that are there: made, found, removed, and what two commands at once may not do."""

from __future__ import annotations

import json
import multiprocessing
import os

import pytest

from rootless_pod.errors import Conflict, Corrupt, NotFound, Usage
from rootless_pod.network.definition import Subnet
from rootless_pod.network.definitions import DEFAULT_ID, Host, Networks, Wanted
from rootless_pod.paths import Paths

ALONE = Host(interfaces=frozenset({"lo"}), addresses=("127.0.0.1/8", "::1/128"))


@pytest.fixture
def paths(tmp_path):
    found = Paths(graphroot=f"{tmp_path}/root", runroot=f"{tmp_path}/run", boot_id="b" * 32)
    found.prepare()
    return found


@pytest.fixture
def networks(paths):
    return Networks(paths, read_host=lambda: ALONE)


def test_the_default_network_is_always_there_and_never_written(networks, paths):
    found = networks.find("podman")
    assert (found.id, found.interface, found.dns_enabled) == (DEFAULT_ID, "podman0", False)
    assert found.subnets == (Subnet(subnet="10.88.0.0/16", gateway="10.88.0.1"),)
    assert [one.name for one in networks.all()] == ["podman"]
    assert not os.path.exists(paths.networks)


def test_the_default_network_cannot_be_removed(networks):
    with pytest.raises(Usage, match="default network podman cannot be removed"):
        networks.remove("podman")


def test_a_network_gets_a_name_an_interface_and_a_subnet(networks):
    first, second, third = (networks.create(Wanted(name=name)) for name in ("", "blue", ""))
    assert [(one.name, one.interface) for one in (first, second, third)] == [
        ("podman1", "podman1"), ("blue", "podman2"), ("podman3", "podman3"),
    ]  # fmt: skip
    assert [one.subnets[0].subnet for one in (first, second, third)] == [
        "10.89.0.0/24", "10.89.1.0/24", "10.89.2.0/24",
    ]  # fmt: skip
    assert first.subnets[0].gateway == "10.89.0.1"
    assert len({first.id, second.id, third.id}) == 3
    assert [one.name for one in networks.all()] == ["blue", "podman", "podman1", "podman3"]


def test_a_network_without_a_name_passes_by_names_that_are_taken(networks):
    networks.create(Wanted(name="podman1", interface="br9"))
    assert networks.create(Wanted()).name == "podman2"


def test_interfaces_and_addresses_of_the_host_are_passed_by(paths):
    busy = Networks(
        paths,
        read_host=lambda: Host(interfaces=frozenset({"podman1", "eth0"}), addresses=("10.89.0.7/23", "192.0.2.1/24")),
    )
    made = busy.create(Wanted())
    assert (made.name, made.subnets[0].subnet) == ("podman2", "10.89.2.0/24")
    with pytest.raises(Conflict, match=r"subnet 192.0.2.128/25 is already used"):
        busy.create(Wanted(subnets=(Subnet(subnet="192.0.2.128/25"),)))


def test_subnets_are_taken_from_the_pools_that_are_given(networks):
    wanted = Wanted(pools=(("10.98.0.0/23", 24), ("10.99.0.0/16", 28)))
    found = [networks.create(wanted).subnets[0].subnet for _ in range(3)]
    assert found == ["10.98.0.0/24", "10.98.1.0/24", "10.99.0.0/28"]


def test_a_network_is_found_by_name_id_and_the_beginning_of_its_id(networks):
    made = networks.create(Wanted(name="blue", labels={"a": "b"}))
    assert networks.find("blue") == networks.find(made.id) == networks.find(made.id[:12]) == made
    assert networks.find(DEFAULT_ID[:5]).name == "podman"


@pytest.mark.parametrize("text", ["nope", "", "../blue", ".hidden"])
def test_what_is_not_there_is_not_found(networks, text):
    with pytest.raises(NotFound, match="unable to find network with name or ID .*: network not found"):
        networks.find(text)


def test_an_ambiguous_beginning_is_refused(networks):
    beginnings = [networks.create(Wanted()).id[0] for _ in range(17)]
    twice = next(one for one in beginnings if beginnings.count(one) > 1)
    with pytest.raises(Conflict, match="more than one result for network ID"):
        networks.find(twice)


def test_a_name_is_taken_once(networks):
    made = networks.create(Wanted(name="blue"))
    with pytest.raises(Conflict, match="network name blue already used: network already exists"):
        networks.create(Wanted(name="blue"))
    assert networks.create(Wanted(name="blue"), exist_ok=True) == made
    with pytest.raises(Conflict, match="already used"):
        networks.create(Wanted(name="podman"))


@pytest.mark.parametrize("name", ["a b", "-a", "a/b", "..", "host", "none", "bridge", "pasta", "default"])
def test_names_that_mean_something_else_are_refused(networks, name):
    with pytest.raises(Usage):
        networks.create(Wanted(name=name))


@pytest.mark.parametrize("interface", ["sixteen-letters-", "a b", "a/b", "-a"])
def test_an_interface_has_a_name_the_kernel_takes(networks, interface):
    with pytest.raises(Usage, match="bridge name"):
        networks.create(Wanted(name="blue", interface=interface))


def test_an_interface_is_taken_once(networks):
    networks.create(Wanted(name="blue", interface="br0"))
    for taken in ("br0", "lo", "podman0"):
        with pytest.raises(Conflict, match="already in use"):
            networks.create(Wanted(name="red", interface=taken))


def test_both_families_are_there_with_ipv6(networks):
    both = networks.create(Wanted(ipv6=True))
    assert [":" in one.subnet for one in both.subnets] == [False, True]
    assert both.subnets[1].gateway.endswith("::1")
    given = networks.create(Wanted(ipv6=True, subnets=(Subnet(subnet="fd00:2::/64"),)))
    assert [one.subnet for one in given.subnets] == ["fd00:2::/64", "10.89.1.0/24"]
    only = networks.create(Wanted(subnets=(Subnet(subnet="fd00:3::/64"),)))
    assert only.ipv6_enabled
    assert len(only.subnets) == 1


def test_two_subnets_of_one_network_do_not_overlap(networks):
    with pytest.raises(Conflict, match="already used"):
        networks.create(Wanted(subnets=(Subnet(subnet="10.1.0.0/16"), Subnet(subnet="10.1.2.0/24"))))


def test_an_internal_network_without_names_has_no_gateway(networks):
    assert networks.create(Wanted(internal=True, dns_enabled=False)).subnets[0].gateway == ""
    assert networks.create(Wanted(internal=True)).subnets[0].gateway == "10.89.1.1"


def test_a_network_without_addresses_has_no_names_either(networks):
    bare = networks.create(Wanted(ipam_driver="none"))
    assert (bare.subnets, bare.dns_enabled, bare.ipam_options) == ((), False, {"driver": "none"})


def test_a_removed_network_gives_back_its_subnet(networks):
    networks.create(Wanted(name="blue"))
    networks.remove("blue")
    networks.remove("blue")
    assert not networks.exists("blue")
    assert networks.create(Wanted()).subnets[0].subnet == "10.89.0.0/24"


def test_a_damaged_record_hides_no_other_and_can_be_removed(networks, paths):
    networks.create(Wanted(name="blue"))
    networks.create(Wanted(name="red"))
    with open(f"{paths.networks}/blue.json", "w") as file:
        file.write('{"name": "blu')
    assert [one.name for one in networks.all()] == ["podman", "red"]
    assert networks.names() == ["blue", "podman", "red"]
    assert list(networks.damaged()) == ["blue"]
    with pytest.raises(Corrupt, match="network blue"):
        networks.find("blue")
    networks.remove(networks.find_name("blue"))
    assert networks.names() == ["podman", "red"]


def test_name_servers_are_added_and_dropped(networks):
    networks.create(Wanted(name="blue", dns_servers=("192.0.2.1",)))
    changed = networks.update_servers("blue", added=("192.0.2.2", "192.0.2.3"), dropped=("192.0.2.1",))
    assert networks.find("blue") == changed
    assert changed.dns_servers == ("192.0.2.2", "192.0.2.3")
    with pytest.raises(Usage, match=r"has no name server 192.0.2.1"):
        networks.update_servers("blue", added=(), dropped=("192.0.2.1",))


def test_a_network_without_names_has_no_servers(networks):
    networks.create(Wanted(name="mute", dns_enabled=False))
    for name in ("mute", "podman"):
        with pytest.raises(Usage, match="answers no names"):
            networks.update_servers(name, added=("192.0.2.1",), dropped=())


def test_what_a_killed_create_left_is_swept(networks, paths):
    networks.create(Wanted(name="blue"))
    with open(f"{paths.networks}/.red.json.17.abcd.tmp", "w") as file:
        file.write("{")
    assert networks.names() == ["blue", "podman"]
    networks.create(Wanted(name="green"))
    assert sorted(os.listdir(paths.networks)) == ["blue.json", "green.json"]


def test_a_record_is_podmans_object(networks, paths):
    made = networks.create(Wanted(name="blue", options={"mtu": "1400"}))
    with open(f"{paths.networks}/blue.json") as file:
        assert json.load(file) == made.to_json()


def _create_some(paths, count):
    for _ in range(count):
        Networks(paths, read_host=lambda: ALONE).create(Wanted())


def test_creates_at_once_never_share_a_name_or_a_subnet(paths):
    fork = multiprocessing.get_context("fork")
    makers = [fork.Process(target=_create_some, args=(paths, 5)) for _ in range(4)]
    for one in makers:
        one.start()
    for one in makers:
        one.join()
    assert [one.exitcode for one in makers] == [0] * 4
    found = Networks(paths).all()
    assert len(found) == 21
    for values in ([one.name for one in found], [one.interface for one in found], [one.subnets for one in found]):
        assert len(set(values)) == 21
