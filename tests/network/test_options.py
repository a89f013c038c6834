"""What -o, --route and --dns of a network may say."""

from __future__ import annotations

import pytest

from rootless_pod.errors import Refused, Usage
from rootless_pod.network.definition import StaticRoute
from rootless_pod.network.options import check_options, check_server, parse_route


def test_options_have_one_spelling():
    found, interface = check_options(
        {"com.docker.network.driver.mtu": "01400", "isolate": "1", "metric": "7", "no_default_route": "False"}
    )
    assert found == {"mtu": "1400", "isolate": "true", "metric": "7", "no_default_route": "false"}
    assert interface == ""
    assert check_options({"com.docker.network.bridge.name": "br7", "isolate": "strict"}) == (
        {"isolate": "strict"},
        "br7",
    )


@pytest.mark.parametrize(
    "pair",
    [
        ("nosuch", "1"),
        ("mtu", "many"),
        ("mtu", "-1"),
        ("mtu", "65536"),
        ("mtu", "²"),
        ("isolate", "maybe"),
        ("metric", ""),
    ],
)
def test_other_options_are_refused(pair):
    with pytest.raises(Usage):
        check_options(dict([pair]))


@pytest.mark.parametrize("key", ["vlan", "vrf", "mode", "com.docker.network.bridge.enable_icc"])
def test_options_that_cannot_act_here_are_refused_with_the_reason(key):
    with pytest.raises(Refused, match="can't act here") as error:
        check_options({key: "1"})
    assert error.value.remedy


def test_a_route_has_a_destination_a_gateway_and_perhaps_a_metric():
    assert parse_route("10.21.0.7/24,10.89.0.9,100") == StaticRoute(
        destination="10.21.0.0/24", gateway="10.89.0.9", metric=100
    )
    assert parse_route("fd00::/64,fd01::1").metric is None


@pytest.mark.parametrize(
    "text", ["", "10.0.0.0/24", "10.0.0.0/24,", "10.0.0.0,10.0.0.1", "10.0.0.0/24,fd00::1", "10.0.0.0/24,10.0.0.1,x"]
)
def test_other_routes_are_refused(text):
    with pytest.raises(Usage, match="--route"):
        parse_route(text)


def test_a_server_is_an_address():
    assert check_server("9.9.9.9") == "9.9.9.9"
    with pytest.raises(Usage, match="unable to parse ip dns.quad9.net"):
        check_server("dns.quad9.net")
