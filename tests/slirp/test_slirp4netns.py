"""slirp4netns: options, command lines as lists, and the replies of its API."""

from __future__ import annotations

import pytest

from rootless_pod.errors import HostUnready, ProgramFailed, Usage
from rootless_pod.slirp.driver import Features
from rootless_pod.slirp.slirp4netns import SlirpOptions, argv, network_of, parse_options
from rootless_pod.slirp.slirp4netns_api import ApiRefused, parse_reply

# Options of slirp4netns --help, version 1.2.0 and 0.4.0.
V1_2 = Features(
    path="/bin/slirp4netns",
    version="slirp4netns version 1.2.0",
    flags=("--api-socket", "--cidr", "--disable-host-loopback", "--enable-ipv6", "--enable-sandbox", "--enable-seccomp",
           "--macaddress", "--netns-type", "--outbound-addr", "--outbound-addr6"),
)  # fmt: skip
V0_4 = Features(
    path="/bin/slirp4netns",
    version="slirp4netns version 0.4.0",
    flags=("--api-socket", "--cidr", "--disable-host-loopback", "--netns-type"),
)
V0_3 = Features(path="/bin/slirp4netns", version="slirp4netns version 0.3.0", flags=("--disable-host-loopback",))


def test_by_default_the_host_loopback_is_out_of_reach_and_every_protection_on():
    assert argv(V1_2, SlirpOptions(), netns_path="/n/one") == (
        "/bin/slirp4netns", "--configure", "--exit-fd=3", "--ready-fd=4", "--mtu=65520", "--disable-host-loopback",
        "--enable-sandbox", "--enable-seccomp", "--enable-ipv6", "--netns-type=path", "/n/one", "tap0",
    )  # fmt: skip


def test_every_option_has_its_word():
    options = parse_options(
        ("mtu=1500", "cidr=10.9.0.0/24", "enable_ipv6=false", "allow_host_loopback=true", "outbound_addr=192.0.2.2",
         "outbound_addr6=2001:db8::1", "port_handler=slirp4netns")
    )  # fmt: skip
    assert argv(V1_2, options, netns_path="/n/one", mac="02:00:00:00:00:01", api_socket=True) == (
        "/bin/slirp4netns", "--configure", "--exit-fd=3", "--ready-fd=4", "--mtu=1500", "--enable-sandbox",
        "--enable-seccomp", "--cidr=10.9.0.0/24", "--outbound-addr=192.0.2.2", "--outbound-addr6=2001:db8::1",
        "--macaddress=02:00:00:00:00:01", "--api-socket=/proc/self/fd/5/slirp4netns.sock", "--netns-type=path",
        "/n/one", "tap0",
    )  # fmt: skip


def test_an_old_version_gets_no_option_it_lacks():
    words = argv(V0_4, SlirpOptions(), netns_path="/n")
    assert "--enable-sandbox" not in words
    assert "--enable-ipv6" not in words


@pytest.mark.parametrize(
    ("features", "options", "more", "since"),
    [
        (V0_4, SlirpOptions(enable_ipv6=True), {}, "0.2.0"),
        (V0_4, SlirpOptions(outbound_addr="192.0.2.2"), {}, "1.1.0"),
        (V0_4, SlirpOptions(), {"mac": "02:00:00:00:00:01"}, "1.1.9"),
        (V0_3, SlirpOptions(), {}, "0.4.0"),
    ],
)
def test_a_wish_beyond_the_version_names_the_version_that_has_it(features, options, more, since):
    with pytest.raises(HostUnready) as caught:
        argv(features, options, netns_path="/n", **more)
    assert f"slirp4netns {since} or later" in caught.value.remedy


@pytest.mark.parametrize(
    "option",
    ["mtu", "mtu=", "mtu=67", "mtu=70000", "mtu=x", "colour=red", "enable_ipv6=yes", "allow_host_loopback=", "port_handler=rootlesskit",
     "cidr=10.0.2.0", "cidr=10.0.2.0/26", "cidr=10.0.2.1/24", "cidr=10.0.2.0/0", "cidr=300.0.0.0/24", "cidr=fd00::/64", "cidr=10.0.2/24"],
)  # fmt: skip
def test_a_wrong_option_is_a_usage_error(option):
    with pytest.raises(Usage):
        parse_options((option,))


def test_a_network_is_a_number():
    assert network_of("10.0.2.0/24") == 0x0A000200


def test_replies_are_taken_with_and_without_the_word_return():
    assert parse_reply(b'{"return":{"id":1}}', "x") == {"id": 1}
    assert parse_reply(b'{"entries":[]}', "x") == {"entries": []}
    assert parse_reply(b'{"return":{}}', "x") == {}


def test_an_error_reply_is_told_in_its_own_words():
    with pytest.raises(ApiRefused, match="add_hostfwd: slirp_add_hostfwd failed"):
        parse_reply(b'{"error":{"desc":"bad request: add_hostfwd: slirp_add_hostfwd failed"}}', "add_hostfwd")


@pytest.mark.parametrize("reply", [b"", b"{", b"[1]", b"\xff", b"{} {}"])
def test_a_reply_that_is_none_is_a_failure_of_the_program(reply):
    with pytest.raises(ProgramFailed):
        parse_reply(reply, "x")
