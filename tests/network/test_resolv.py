"""resolv.conf: what is read from the host and what the container gets."""

from __future__ import annotations

import os

import pytest

from rootless_pod.errors import Usage
from rootless_pod.network.dns import Resolv, decide_resolv
from rootless_pod.network.mode import NetworkRequest
from rootless_pod.network.resolv import format_resolv, parse_resolv, read_host_resolv, write_resolv_conf
from rootless_pod.network.status import NetworkStatus

SLIRP = NetworkStatus(mode="slirp4netns", netns_path="/n", dns="10.0.2.3", ip="10.0.2.100")
HOST = NetworkStatus(mode="host")
NONE = NetworkStatus(mode="none", netns_path="/n")


def test_a_file_is_read_as_the_resolver_reads_it():
    text = "# comment\nnameserver 192.0.2.1 # why\nnameserver 2001:db8::1\n;x\ndomain old.example\nsearch a.example b.example\noptions ndots:2\noptions edns0 ndots:2\nnameserver\n"
    assert parse_resolv(text) == Resolv(
        nameservers=("192.0.2.1", "2001:db8::1"), search=("a.example", "b.example"), options=("ndots:2", "edns0")
    )


def test_what_is_written_reads_back():
    resolv = Resolv(nameservers=("192.0.2.1",), search=("a.example",), options=("ndots:2",))
    assert format_resolv(resolv) == "search a.example\nnameserver 192.0.2.1\noptions ndots:2\n"
    assert parse_resolv(format_resolv(resolv)) == resolv


def test_systemds_stub_gives_way_to_its_own_list(tmp_path):
    (tmp_path / "stub").write_text("nameserver 127.0.0.53\noptions edns0\nsearch lan\n")
    (tmp_path / "real").write_text("nameserver 192.0.2.1\nsearch other\n")
    read = read_host_resolv(host_path=f"{tmp_path}/stub", upstream_path=f"{tmp_path}/real")
    assert read == Resolv(nameservers=("192.0.2.1",), search=("lan",), options=("edns0",))
    without = read_host_resolv(host_path=f"{tmp_path}/stub", upstream_path=f"{tmp_path}/absent")
    assert without.nameservers == ("127.0.0.53",)
    assert read_host_resolv(host_path=f"{tmp_path}/absent", upstream_path=f"{tmp_path}/absent") == Resolv()


@pytest.mark.parametrize(
    ("servers", "forwarder", "shares_host", "expected"),
    [
        (("192.0.2.1",), "10.0.2.3", False, ("10.0.2.3", "192.0.2.1")),
        (("127.0.0.53",), "10.0.2.3", False, ("10.0.2.3",)),
        (("127.0.0.1", "::1", "fe80::1%eth0"), "169.254.1.1", False, ("169.254.1.1",)),
        (("127.0.0.53", "192.0.2.1"), None, True, ("127.0.0.53", "192.0.2.1")),
        (("127.0.0.53", "192.0.2.1"), None, False, ("192.0.2.1",)),
        ((), None, False, ()),
        (("10.0.2.3",), "10.0.2.3", False, ("10.0.2.3",)),
    ],
)
def test_the_forwarder_comes_first_and_servers_out_of_reach_are_left_out(servers, forwarder, shares_host, expected):
    decided = decide_resolv(NetworkRequest(), Resolv(nameservers=servers), forwarder=forwarder, shares_host=shares_host)
    assert decided.nameservers == expected


def test_the_command_line_replaces_each_part_by_itself():
    host = Resolv(nameservers=("192.0.2.1",), search=("lan",), options=("edns0",))
    request = NetworkRequest(dns=("192.0.2.53", "2001:db8::53"))
    decided = decide_resolv(request, host, forwarder="10.0.2.3", shares_host=False)
    assert decided == Resolv(nameservers=("192.0.2.53", "2001:db8::53"), search=("lan",), options=("edns0",))
    request = NetworkRequest(dns_search=("a.example",), dns_options=("ndots:5",))
    decided = decide_resolv(request, host, forwarder=None, shares_host=False)
    assert decided == Resolv(nameservers=("192.0.2.1",), search=("a.example",), options=("ndots:5",))


def test_on_named_networks_their_server_is_the_only_one():
    named = Resolv(nameservers=("10.89.0.1",), search=("dns.podman",))
    host = Resolv(nameservers=("192.0.2.1",), search=("lan",))
    for request in (NetworkRequest(), NetworkRequest(dns=("192.0.2.53",))):
        decided = decide_resolv(request, host, forwarder=None, shares_host=False, named=named)
        assert decided == Resolv(nameservers=("10.89.0.1",), search=("dns.podman", "lan"))


def test_named_networks_without_names_leave_the_hosts_servers():
    host = Resolv(nameservers=("192.0.2.1",), search=("lan",))
    decided = decide_resolv(NetworkRequest(), host, forwarder="10.0.2.3", shares_host=False, named=Resolv())
    assert decided == host
    bare = decide_resolv(NetworkRequest(), Resolv(), forwarder="10.0.2.3", shares_host=False, named=Resolv())
    assert bare.nameservers == ("10.0.2.3",)


def test_a_dot_means_no_search_domain():
    host = Resolv(search=("lan",))
    assert decide_resolv(NetworkRequest(dns_search=(".",)), host, forwarder=None, shares_host=False).search == ()


@pytest.mark.parametrize(
    "request_",
    [
        NetworkRequest(dns=("dns.example",)),
        NetworkRequest(dns=("192.0.2.1\nnameserver 6.6.6.6",)),
        NetworkRequest(dns_search=("a b",)),
        NetworkRequest(dns_search=("x" * 256,)),
        NetworkRequest(dns=("none", "192.0.2.1")),
        NetworkRequest(dns=("none",), dns_search=("x",)),
    ],
)
def test_a_wrong_value_is_a_usage_error_and_nothing_is_written(tmp_path, request_):
    with pytest.raises(Usage):
        write_resolv_conf(f"{tmp_path}/resolv.conf", request_, SLIRP)
    assert os.listdir(tmp_path) == []


def test_dns_none_leaves_the_images_file(tmp_path):
    assert not write_resolv_conf(f"{tmp_path}/resolv.conf", NetworkRequest(dns=("none",)), SLIRP)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (SLIRP, "nameserver 10.0.2.3\nnameserver 192.0.2.1\n"),
        (HOST, "nameserver 127.0.0.53\n"),
        (NONE, "nameserver 192.0.2.1\n"),
    ],
)
def test_the_file_fits_the_network_and_everybody_may_read_it(tmp_path, status, expected):
    (tmp_path / "stub").write_text("nameserver 127.0.0.53\n")
    (tmp_path / "real").write_text("nameserver 192.0.2.1\n")
    target = tmp_path / "resolv.conf"
    assert write_resolv_conf(
        str(target), NetworkRequest(), status, host_path=f"{tmp_path}/stub", upstream_path=f"{tmp_path}/real"
    )
    assert target.read_text() == expected
    assert target.stat().st_mode & 0o777 == 0o644
