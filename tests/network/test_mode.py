"""What --network, -p, --expose and -P mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless_pod.errors import NotFound, RpodError, Usage
from rootless_pod.network.mode import (
    NetworkMode,
    PortMapping,
    names_network,
    parse_expose,
    parse_network,
    parse_publish,
    publish_exposed,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", NetworkMode(kind="")),
        ("private", NetworkMode(kind="")),
        ("host", NetworkMode(kind="host")),
        ("none", NetworkMode(kind="none")),
        ("slirp4netns", NetworkMode(kind="slirp4netns")),
        (
            "slirp4netns:mtu=1500,cidr=10.9.0.0/24",
            NetworkMode(kind="slirp4netns", options=("mtu=1500", "cidr=10.9.0.0/24")),
        ),
        ("pasta:-4,--address,10.0.0.9", NetworkMode(kind="pasta", options=("-4", "--address", "10.0.0.9"))),
        ("container:web", NetworkMode(kind="container", target="web")),
        ("ns:/run/netns/blue", NetworkMode(kind="ns", target="/run/netns/blue")),
    ],
)
def test_modes_are_spelled_as_in_podman(text, expected):
    assert parse_network(text) == expected


@pytest.mark.parametrize(
    "text", ["container:", "ns:", "ns:relative", "host:x", "none:", "private:x", "slirp4netns:", "pasta:"]
)
def test_a_mode_with_a_part_missing_or_too_much_is_a_usage_error(text):
    with pytest.raises(Usage, match=text):
        parse_network(text)


@pytest.mark.parametrize("text", ["bridge", "mynet", "bridge:ip=10.0.0.1", "one,two"])
def test_what_is_no_mode_names_networks(text):
    assert names_network(text)


@pytest.mark.parametrize("text", ["", "private", "host", "none", "container:x", "ns:/x", "pasta:-I,x", "slirp4netns"])
def test_a_mode_names_no_network(text):
    assert not names_network(text)


def test_a_name_that_is_no_mode_is_not_found_by_those_who_know_modes_only():
    assert parse_network("bridge") == NetworkMode(kind="bridge")
    with pytest.raises(NotFound, match="network not found"):
        parse_network("mynet")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [("", 0, 80, "tcp")]),
        ("8080:80", [("", 8080, 80, "tcp")]),
        ("8080:80/udp", [("", 8080, 80, "udp")]),
        ("8080:80/UDP", [("", 8080, 80, "udp")]),
        ("80/sctp", [("", 0, 80, "sctp")]),
        ("127.0.0.1:8080:80", [("127.0.0.1", 8080, 80, "tcp")]),
        ("127.0.0.1::80", [("127.0.0.1", 0, 80, "tcp")]),
        ("0:80", [("", 0, 80, "tcp")]),
        ("[::1]:8080:80", [("::1", 8080, 80, "tcp")]),
        ("[::1]::80", [("::1", 0, 80, "tcp")]),
        ("8000-8002:80-82", [("", 8000, 80, "tcp"), ("", 8001, 81, "tcp"), ("", 8002, 82, "tcp")]),
        ("80-81", [("", 0, 80, "tcp"), ("", 0, 81, "tcp")]),
    ],
)
def test_publish_is_spelled_as_in_podman(text, expected):
    assert [tuple(mapping.as_dict().values()) for mapping in parse_publish(text)] == expected


@pytest.mark.parametrize(
    "text",
    ["", ":", "8080:", ":80:", "x", "80/icmp", "80/", "70000:80", "8080:0", "1:2:3:4", "8000-8001:80", "81-80", "::1:80:80",
     "[::1:80:80", "[::1]80", "300.0.0.1:80:80", "localhost:80:80", "-80", "80-", "+80", "8 0", "٨٠", "1.2.3.4:80:80:80"],
)  # fmt: skip
def test_a_malformed_publish_is_a_usage_error_that_quotes_it(text):
    with pytest.raises(Usage) as caught:
        parse_publish(text)
    assert f"-p {text}" in caught.value.message


@given(st.text(alphabet="0123456789:-[]./tcpudx ", max_size=24))
def test_any_text_is_parsed_or_refused_in_words(text):
    try:
        mappings = parse_publish(text)
    except RpodError:
        return
    for mapping in mappings:
        assert 1 <= mapping.container_port <= 65535
        assert 0 <= mapping.host_port <= 65535


def test_expose_takes_ranges_and_protocols():
    assert parse_expose("80") == ((80, "tcp"),)
    assert parse_expose("53/udp") == ((53, "udp"),)
    assert parse_expose("8000-8001/tcp") == ((8000, "tcp"), (8001, "tcp"))
    with pytest.raises(Usage):
        parse_expose("http")


def test_publish_all_adds_only_ports_not_published_yet_at_ports_to_be_chosen():
    given_ports = parse_publish("8080:80")
    assert publish_exposed(given_ports, ("80/tcp", "53/udp", "53/udp", "80/udp")) == (
        *given_ports,
        PortMapping(container_port=53, protocol="udp"),
        PortMapping(container_port=80, protocol="udp"),
    )


def test_a_mapping_is_shown_as_podman_shows_it():
    assert str(PortMapping(host_port=8080, container_port=80)) == "0.0.0.0:8080->80/tcp"
    assert str(PortMapping(host_ip="::1", host_port=8080, container_port=80)) == "[::1]:8080->80/tcp"
