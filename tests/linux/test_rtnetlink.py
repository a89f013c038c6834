"""Bridges, cables and rules made through netlink, looked at through other programs."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless_pod.linux import namespaces, nftables
from rootless_pod.linux.netlink import attribute, attributes, nested
from rootless_pod.linux.rtnetlink import Routing, pack_mac


@given(st.lists(st.tuples(st.integers(1, 0x3FFF), st.binary(max_size=40))))
def test_attributes_are_read_as_they_were_written(pairs):
    text = b"".join(attribute(kind, value) for kind, value in pairs)
    assert list(attributes(text)) == pairs
    assert list(attributes(nested(7, text))) == [(7, text)]


@given(st.binary(max_size=80))
def test_whatever_the_kernel_says_is_taken_apart_without_an_error(text):
    assert all(len(value) <= len(text) for _kind, value in attributes(text))


def said(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=20).stdout


@pytest.mark.kernel
def test_a_bridge_has_its_address_and_a_cable_leads_into_another_namespace(inside):
    def work():
        other = os.open("/proc/self/ns/net", os.O_RDONLY)
        namespaces.unshare(namespaces.CLONE_NEWNET)
        with Routing() as routing:
            routing.add_bridge("br-test", mac="02:00:00:00:00:07", mtu=1400)
            bridge = routing.links()["br-test"]
            for address in ("10.9.0.1/24", "10.9.0.1/24", "fd00:9::1/64"):
                routing.add_address(bridge.index, address)
            routing.set_up(bridge.index)
            routing.add_veth(
                "cable0", master=bridge.index, peer="eth0", peer_netns=other, peer_mac="02:00:00:00:00:08", mtu=1400
            )
            assert routing.addresses()[bridge.index] == {"10.9.0.1/24", "fd00:9::1/64"}
            cable = routing.links()["cable0"]
            assert (cable.kind, cable.master, cable.mtu, cable.up) == ("veth", bridge.index, 1400, True)
            with pytest.raises(FileExistsError):
                routing.add_bridge("br-test", mac="02:00:00:00:00:07")
        namespaces.setns(other, namespaces.CLONE_NEWNET)
        with Routing() as routing:
            end = routing.links()["eth0"]
            assert pack_mac(end.mac) == b"\2\0\0\0\0\10"
            routing.add_address(end.index, "10.9.0.2/24")
            routing.set_up(end.index)
            routing.add_route(end.index, "10.9.0.1", metric=100)
            routing.add_route(end.index, "10.9.0.1", metric=100)
            routing.add_route(end.index, "10.9.0.1", destination="10.77.0.0/16")
            routes = said("ip", "route") if shutil.which("ip") else ""
            assert not routes or "default via 10.9.0.1 dev eth0 proto static metric 100" in routes
            assert not routes or "10.77.0.0/16 via 10.9.0.1" in routes
            routing.remove(end.index)
            routing.remove(end.index)
            assert "eth0" not in routing.links()

    inside(work)


@pytest.mark.kernel
def test_rules_are_replaced_as_a_whole_or_not_at_all(inside):
    def work():
        table = nftables.Table(nftables.NFPROTO_IPV4, "mine")
        table.chain("out", hook="postrouting", kind="nat", priority=100)
        table.chain("apart")
        table.chain("forward", hook="forward")
        many = nftables.address(nftables.NFPROTO_IPV4, "daddr", b"\xe0\0\0\0", 4, equal=False)
        own = nftables.address(nftables.NFPROTO_IPV4, "saddr", b"\x0a\x59\x10\x05", 20)
        table.rule("out", own, many, nftables.masquerade())
        others = nftables.interface("oifname", "podman1", equal=False)
        table.rule("forward", nftables.interface("iifname", "podman1"), others, nftables.jump("apart"))
        table.rule("apart", nftables.interface("oifname", "podman2"), nftables.drop())
        table.replace()
        table.replace()
        six = nftables.Table(nftables.NFPROTO_IPV6, "mine")
        six.chain("out", hook="postrouting", kind="nat", priority=100)
        six.rule(
            "out", nftables.address(nftables.NFPROTO_IPV6, "saddr", b"\xfd" + bytes(15), 64), nftables.masquerade()
        )
        six.replace()
        broken = nftables.Table(nftables.NFPROTO_IPV4, "mine")
        broken.rule("nowhere", nftables.drop())
        with pytest.raises(FileNotFoundError):
            broken.replace()
        program = shutil.which("nft") or shutil.which("nft", path="/usr/sbin")
        if program is None:
            return
        rules = said(program, "list", "ruleset")
        assert rules.count("ip saddr 10.89.16.0/20 ip daddr != 224.0.0.0/4 masquerade") == 1
        assert 'iifname "podman1" oifname != "podman1" jump apart' in rules
        assert 'oifname "podman2" drop' in rules
        assert "ip6 saddr fd00::/64 masquerade" in rules

    inside(work)


@pytest.mark.kernel
def test_rules_that_are_refused_as_a_whole_are_said_to_be_refused_at_once():
    if os.getuid() == 0:
        pytest.skip("to be run without root")
    with pytest.raises(PermissionError):
        nftables.Table(nftables.NFPROTO_IPV4, "mine").replace()
