"""Routing tables as /proc writes them."""

from __future__ import annotations

import sys

import pytest

from rootless_pod.linux.link import address_of, parse_default_route

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


def line(interface, destination, gateway, *, flags="0003", metric=0, mask="00000000"):
    return f"{interface}\t{destination}\t{gateway}\t{flags}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n"


@pytest.mark.skipif(sys.byteorder != "little", reason="the table is written in the machine's byte order")
def test_the_default_route_with_the_lowest_metric_wins():
    table = (
        HEAD
        + line("wlan0", "00000000", "010200C0", metric=600)
        + line("eth0", "00000000", "0100A8C0", metric=100)
        + line("eth0", "0000A8C0", "00000000", mask="00FFFFFF")
    )
    assert parse_default_route(table) == ("eth0", "192.168.0.1")


def test_a_route_that_is_down_or_narrower_is_no_default():
    assert parse_default_route(HEAD + line("eth0", "00000000", "0100A8C0", flags="0000")) is None
    assert parse_default_route(HEAD + line("tun0", "00000000", "0100A8C0", mask="00000080")) is None
    assert parse_default_route(HEAD) is None
    assert parse_default_route("") is None


def test_a_default_route_on_the_link_has_no_gateway():
    assert parse_default_route(HEAD + line("wg0", "00000000", "00000000", flags="0001")) == ("wg0", None)


def test_the_loopback_has_its_address_and_a_missing_interface_none():
    assert address_of("lo") == "127.0.0.1"
    assert address_of("nosuchif0") is None
