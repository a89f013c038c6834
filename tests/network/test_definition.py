"""The object that a network is on disk and in network inspect."""

from __future__ import annotations

import pytest

from rootless_pod.errors import Corrupt
from rootless_pod.network.definition import Network, StaticRoute, Subnet

# podman 4.3.1: podman network create --subnet 10.77.0.0/24 --gateway 10.77.0.7 --ip-range 10.77.0.128/25
#   --label a=b --label c --opt mtu=1400 --internal full
OF_PODMAN = {
    "name": "full",
    "id": "8460579dbc763ce6407d0be157ebd7a2bb378af00710ee2651d36db09b756f2d",
    "driver": "bridge",
    "network_interface": "podman4",
    "created": "2026-11-23T21:23:47.680459075Z",
    "subnets": [
        {
            "subnet": "10.77.0.0/24",
            "gateway": "10.77.0.7",
            "lease_range": {"start_ip": "10.77.0.129", "end_ip": "10.77.0.255"},
        }
    ],
    "ipv6_enabled": False,
    "internal": True,
    "dns_enabled": True,
    "labels": {"a": "b", "c": ""},
    "options": {"mtu": "1400"},
    "ipam_options": {"driver": "host-local"},
}


def test_a_definition_of_podman_is_read_and_written_as_it_is():
    found = Network.from_json(OF_PODMAN)
    assert found.subnets == (
        Subnet(subnet="10.77.0.0/24", gateway="10.77.0.7", lease_range=("10.77.0.129", "10.77.0.255")),
    )
    assert (found.interface, found.internal, found.mtu, found.isolated) == ("podman4", True, 1400, False)
    assert list(found.to_json().items()) == list(OF_PODMAN.items())


def test_routes_and_servers_are_kept():
    record = OF_PODMAN | {
        "routes": [
            {"destination": "10.5.0.0/24", "gateway": "10.77.0.9", "metric": 5},
            {"destination": "10.6.0.0/24", "gateway": "10.77.0.9"},
        ],
        "network_dns_servers": ["192.0.2.53"],
    }
    found = Network.from_json(record)
    assert found.routes[0] == StaticRoute(destination="10.5.0.0/24", gateway="10.77.0.9", metric=5)
    assert found.routes[1].metric is None
    assert found.to_json() == record


def test_what_is_empty_is_left_out():
    bare = Network(name="bare", id="1" * 64, interface="podman1", created="", ipam_options={"driver": "none"})
    assert list(bare.to_json()) == [
        "name", "id", "driver", "network_interface", "created", "ipv6_enabled", "internal", "dns_enabled",
        "ipam_options",
    ]  # fmt: skip
    assert Network.from_json(bare.to_json()) == bare


@pytest.mark.parametrize("isolate", ["true", "strict"])
def test_isolation_is_an_option(isolate):
    assert Network.from_json(OF_PODMAN | {"options": {"isolate": isolate}}).isolated
    assert not Network.from_json(OF_PODMAN | {"options": {"isolate": "false"}}).isolated


@pytest.mark.parametrize(
    "damage",
    [
        {"name": 7},
        {"subnets": [{}]},
        {"subnets": 5},
        {"subnets": [{"subnet": "10.0.0.0/24", "lease_range": "x"}]},
        {"labels": ["a"]},
        {"subnets": [{"subnet": "10.89.300.0/24"}]},
        {"subnets": [{"subnet": "10.89.3.0/33"}]},
        {"subnets": [{"subnet": "10.89.3.0/²"}]},
        {"subnets": [{"subnet": "10.89.3.0"}]},
        {"subnets": [{"subnet": "10.89.3.0/24", "gateway": "first"}]},
        {"subnets": [{"subnet": "10.89.3.0/24", "gateway": "fd00::1"}]},
        {"subnets": [{"subnet": "10.89.3.0/24", "lease_range": {"start_ip": "x", "end_ip": "10.89.3.9"}}]},
        {"options": {"mtu": "large"}},
        {"options": {"metric": ""}},
        {"routes": [{"destination": "10.0.0.0/24", "gateway": "10.0.0.1", "metric": "far"}]},
    ],
)
def test_a_damaged_definition_is_said_to_be_damaged(damage):
    with pytest.raises(Corrupt, match="the definition of a network is damaged"):
        Network.from_json(OF_PODMAN | damage)


def test_a_definition_without_a_name_is_damaged():
    with pytest.raises(Corrupt):
        Network.from_json({})
