"""What ``--network NAME…`` and its neighbours mean; the words are those of podman 4.3.1."""

from __future__ import annotations

import pytest

from rootless_pod.errors import Usage
from rootless_pod.network.joins import NetworkJoin, checked, parse_networks, refuse_aliases, refuse_others


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("one",), [NetworkJoin(network="one")]),
        (("one,two",), [NetworkJoin(network="one"), NetworkJoin(network="two")]),
        (("two", "one"), [NetworkJoin(network="two"), NetworkJoin(network="one")]),
        (("one", "one:ip=10.1.2.3"), [NetworkJoin(network="one", ip="10.1.2.3")]),
        (("bridge",), [NetworkJoin(network="podman")]),
        (("bridge:mac=92-D0-C6-0A-29-33",), [NetworkJoin(network="podman", mac="92:d0:c6:0a:29:33")]),
        (
            ("one:ip=10.1.2.3,ip6=FD00::0:5,alias=a,alias=b,interface_name=lan0",),
            [NetworkJoin(network="one", ip="10.1.2.3", ip6="fd00::5", aliases=("a", "b"), interface="lan0")],
        ),
        (("one:ip=fd00::5",), [NetworkJoin(network="one", ip6="fd00::5")]),
    ],
)
def test_networks_are_joined_in_the_order_given_and_each_once(words, expected):
    assert list(parse_networks(words)) == expected


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("one", "host"), "selected mode host conflicts with bridge"),
        (("one", "bridge"), "selected mode bridge conflicts with bridge"),
        (("one", "pasta:-I,x"), "selected mode pasta conflicts"),
        (("one,,two",), "network name cannot be empty"),
        (("one:foo=bar",), "invalid option for network one: unknown bridge network option: foo"),
        (("one:ip",), "invalid option for network one: no value given for ip"),
        (("one:ip=10.1.2",), 'invalid option for network one: invalid ip address "10.1.2"'),
        (("one:mac=01:00:5e:00:00:01",), "a MAC address of many"),
        (("one:interface_name=sixteen-letters-",), "can be no interface"),
        (("one:interface_name=a/b",), "can be no interface"),
        (("one:interface_name=a:b",), "can be no interface"),
        (("one:interface_name=v%d",), "can be no interface"),
        (("one:interface_name=lo",), "can be no interface"),
        (("one:interface_name=ööööööööö",), "can be no interface"),
        (("one:interface_name=lan0", "two:interface_name=lan0"), "two networks ask for the interface lan0"),
    ],
)
def test_what_can_not_be_meant_is_refused(words, error):
    with pytest.raises(Usage) as caught:
        parse_networks(words)
    assert error in caught.value.message
    assert caught.value.remedy


def test_fixed_addresses_go_to_the_only_network_and_aliases_to_all():
    (only,) = parse_networks(("one:alias=b",), aliases=("a",), ip="10.1.2.3", mac="92:d0:c6:0a:29:33")
    assert only == NetworkJoin(network="one", ip="10.1.2.3", mac="92:d0:c6:0a:29:33", aliases=("a", "b"))
    assert [one.aliases for one in parse_networks(("one,two",), aliases=("a",))] == [("a",), ("a",)]
    for option, value in (("ip", "10.1.2.3"), ("ip6", "fd00::5"), ("mac", "92:d0:c6:0a:29:33")):
        with pytest.raises(Usage, match="can only be set for a single network"):
            parse_networks(("one", "two"), **{option: value})


def test_modes_stand_alone_and_have_no_aliases():
    refuse_others(("host",), "host")
    with pytest.raises(Usage, match="selected mode pasta: invalid argument"):
        refuse_others(("pasta:-I,x", "one"), "pasta:-I,x")
    with pytest.raises(Usage, match="can only be used with Bridge mode networking"):
        refuse_aliases("")
    with pytest.raises(Usage, match="--network-alias can only be set when the network mode is bridge"):
        refuse_aliases("none")


@pytest.mark.parametrize("text", ["nonsense", "92:d0:c6:0a:29", "92:d0:c6:0a:29:3g", "92:d0:c6:0a:29:333"])
def test_a_mac_address_has_six_bytes(text):
    with pytest.raises(Usage, match="invalid MAC address"):
        checked(mac=text)
