"""Host ports on the loopback: chosen, checked, explained."""

from __future__ import annotations

import errno
import socket

import pytest

from rootless_pod.errors import Conflict, Refused, Usage
from rootless_pod.network import ports
from rootless_pod.network.mode import PortMapping, parse_publish
from rootless_pod.network.ports import bind_trouble, next_free, overlap, resolve_ports


def mapping(host_port=0, *, host_ip="127.0.0.1", protocol="tcp", container_port=80):
    return PortMapping(host_ip=host_ip, host_port=host_port, container_port=container_port, protocol=protocol)


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        (mapping(80), mapping(80), True),
        (mapping(80), mapping(80, host_ip=""), True),
        (mapping(80, host_ip="0.0.0.0"), mapping(80), True),
        (mapping(80), mapping(80, host_ip="127.0.0.2"), False),
        (mapping(80), mapping(81), False),
        (mapping(80), mapping(80, protocol="udp"), False),
    ],
)
def test_two_mappings_meet_at_the_same_port_and_protocol_unless_the_addresses_differ(one, other, meets):
    assert overlap(one, other) is meets
    assert overlap(other, one) is meets


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_taken_port_is_a_conflict_whose_remedy_names_a_free_one(protocol):
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if protocol == "tcp":
            holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(Conflict, match=f"host port {port}/{protocol} is already in use on 127.0.0.1") as caught:
            resolve_ports((mapping(port, protocol=protocol),))
    free = int(caught.value.remedy.split("the next free port is ")[1].split(":")[0])
    assert free > port
    assert f"-p 127.0.0.1:{free}:80" in caught.value.remedy


def test_a_port_whose_connections_just_ended_is_free():
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    client = socket.create_connection(("127.0.0.1", port))
    connection, _peer = listener.accept()
    connection.close()  # the side that closes first keeps the port in TIME_WAIT
    client.close()
    listener.close()
    assert bind_trouble("127.0.0.1", port, "tcp") is None


def test_one_port_published_twice_is_a_conflict():
    with pytest.raises(Conflict, match="published twice"):
        resolve_ports((mapping(45454), mapping(45454, host_ip="", container_port=81)))


def test_chosen_ports_are_free_distinct_and_keep_their_place():
    wanted = (*parse_publish("127.0.0.1::80"), mapping(45455), *parse_publish("127.0.0.1::90-99"))
    resolved = resolve_ports(wanted)
    assert [one.container_port for one in resolved] == [one.container_port for one in wanted]
    assert resolved[1] == wanted[1]
    numbers = [one.host_port for one in resolved]
    assert 0 not in numbers
    assert len(set(numbers)) == len(numbers)


def test_the_same_number_for_tcp_and_udp_is_no_conflict():
    free = resolve_ports((mapping(),))[0].host_port
    assert len(resolve_ports((mapping(free), mapping(free, protocol="udp")))) == 2


def test_an_address_the_host_lacks_is_a_usage_error():
    with pytest.raises(Usage, match="the host has no address 203.0.113.9"):
        resolve_ports((mapping(8080, host_ip="203.0.113.9"),))
    with pytest.raises(Usage):
        resolve_ports((mapping(host_ip="203.0.113.9"),))


def test_a_privileged_port_names_the_sysctl():
    told = ports._explain(OSError(errno.EACCES, "Permission denied"), mapping(80), ())
    assert isinstance(told, Refused)
    assert "sysctl -w net.ipv4.ip_unprivileged_port_start=80" in told.remedy


def test_the_next_free_port_skips_those_of_the_same_request():
    free = resolve_ports((mapping(),))[0].host_port
    candidate = mapping(free)
    found = next_free(candidate, (mapping(free + 1),))
    assert found is None or found > free + 1


def test_no_free_port_near_the_end_is_told_without_a_number():
    with pytest.raises(Conflict) as caught:
        resolve_ports((mapping(65535), mapping(65535)))
    assert caught.value.remedy == "let a free one be chosen: -p 127.0.0.1::80"
