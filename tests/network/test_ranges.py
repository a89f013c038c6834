"""Which addresses a new network gets, and which it is refused."""

from __future__ import annotations

import ipaddress

import pytest

from rootless_pod.errors import Conflict, Usage
from rootless_pod.network.definition import Subnet
from rootless_pod.network.ranges import check_pool, complete, free_ipv4, free_ipv6, parse_range, parse_subnet


def used(*texts):
    return [ipaddress.ip_network(text, strict=False) for text in texts]


def test_the_first_free_subnet_of_the_pools_is_taken():
    assert free_ipv4(used()).subnet == "10.89.0.0/24"
    assert free_ipv4(used("10.89.0.0/24", "10.89.1.77/25", "fd00::/8")).subnet == "10.89.2.0/24"


def test_the_next_pool_is_taken_when_one_is_full():
    assert free_ipv4(used("10.89.0.0/16")).subnet == "10.90.0.0/24"


def test_full_pools_are_said_to_be_full():
    with pytest.raises(Conflict, match="could not find free subnet"):
        free_ipv4(used("192.0.2.0/24"), [("192.0.2.0/24", 26)])


def test_a_free_ipv6_subnet_is_a_private_one_of_64_bits():
    found = ipaddress.ip_network(free_ipv6(used()).subnet)
    assert found.prefixlen == 64
    assert found.subnet_of(ipaddress.ip_network("fd00::/8"))
    assert free_ipv6(used()) != free_ipv6(used())


def test_bits_beyond_the_prefix_do_not_count():
    assert complete(Subnet(subnet="10.91.0.5/24"), used(), with_gateway=True) == Subnet(
        subnet="10.91.0.0/24", gateway="10.91.0.1"
    )


@pytest.mark.parametrize("address", ["10.99.5.0", "255.255.255.255", "fd00::7"])
def test_the_gateway_of_a_subnet_of_one_address_is_that_address_as_with_podman(address):
    subnet = f"{address}/{128 if ':' in address else 32}"
    assert complete(Subnet(subnet=subnet), used(), with_gateway=True).gateway == address


def test_the_gateway_is_left_out_where_nothing_needs_it():
    assert complete(Subnet(subnet="10.91.0.0/24"), used(), with_gateway=False).gateway == ""


@pytest.mark.parametrize("other", ["10.91.0.0/16", "10.91.0.128/25", "10.91.0.7/32"])
def test_a_subnet_that_shares_addresses_with_another_is_refused(other):
    with pytest.raises(Conflict, match="already used on the host or by another config"):
        complete(Subnet(subnet="10.91.0.0/24"), used(other), with_gateway=True)


@pytest.mark.parametrize(
    ("subnet", "message"),
    [
        (Subnet(subnet="10.91.0.0/24", gateway="10.92.0.1"), "gateway 10.92.0.1 not in subnet 10.91.0.0/24"),
        (Subnet(subnet="10.91.0.0/24", gateway="fd00::1"), "gateway fd00::1 not in subnet"),
        (Subnet(subnet="10.91.0.0/24", gateway="one"), "gateway one is not an IP address"),
        (Subnet(subnet="10.91.0.0/24", lease_range=("10.90.0.1", "10.91.0.9")), "lease range start ip 10.90.0.1"),
        (Subnet(subnet="10.91.0.0/24", lease_range=("10.91.0.9", "10.92.0.1")), "lease range end ip 10.92.0.1"),
        (Subnet(subnet="10.91.0.0"), "invalid CIDR address: 10.91.0.0"),
        (Subnet(subnet="foo"), "invalid CIDR address: foo"),
    ],
)
def test_what_lies_outside_of_the_subnet_is_refused(subnet, message):
    with pytest.raises(Usage, match=message):
        complete(subnet, used(), with_gateway=True)


def test_a_range_is_a_prefix_or_two_addresses():
    # What podman 4.3.1 stores for a prefix: without the network's own address, with the last one.
    assert parse_range("10.77.0.128/25") == ("10.77.0.129", "10.77.0.255")
    assert parse_range("255.255.255.255/32") == ("255.255.255.255", "255.255.255.255")
    assert parse_range("10.77.0.10-10.77.0.20") == ("10.77.0.10", "10.77.0.20")
    assert parse_range("fd00::1-fd00::ff") == ("fd00::1", "fd00::ff")


@pytest.mark.parametrize(
    "text",
    ["10.77.0.10", "", "-", "10.77.0.9-10.77.0.3", "10.77.0.9-fd00::1", "a-b", "10.0.0.0/x"],
)
def test_other_ranges_are_refused(text):
    with pytest.raises(Usage):
        parse_range(text)


def test_an_address_without_a_length_is_no_subnet():
    with pytest.raises(Usage, match="invalid CIDR address"):
        parse_subnet("10.0.0.1")


def test_a_pool_is_a_range_with_subnets_in_it():
    assert check_pool("10.98.7.0/16", 24) == ("10.98.0.0/16", 24)
    for base, length in (("10.98.0.0/16", 12), ("10.98.0.0/16", 31), ("fd00::/16", 24), ("10.98.0.0", 24)):
        with pytest.raises(Usage):
            check_pool(base, length)
