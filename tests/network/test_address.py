"""What netlink says of a namespace."""

from __future__ import annotations

import os

import pytest

from rootless_pod.errors import NotFound, ProgramFailed
from rootless_pod.network.address import Route, read_links
from rootless_pod.network.attach import attach
from rootless_pod.network.netns import make_netns, remove_netns

pytest.importorskip("pyroute2", reason="pyroute2 is not installed")


@pytest.mark.kernel
def test_addresses_and_routes_are_those_the_status_tells(places, program, wanted):
    status, attachment = attach(wanted(program), **places.arguments())
    links = read_links(status.netns_path)
    attachment.abort()
    by_name = {one.name: one for one in links.interfaces}
    assert by_name["lo"].up
    assert "127.0.0.1/8" in by_name["lo"].addresses
    (tap,) = [one for one in links.interfaces if one.name != "lo"]
    assert tap.up
    assert tap.mtu == 65520
    assert tap.addresses[0].partition("/")[0] == status.ip
    assert Route(destination="default", gateway=status.gateway, interface=tap.name) in links.routes


@pytest.mark.kernel
def test_an_empty_namespace_has_only_the_loopback(places):
    path = make_netns(f"{places.root}/netns", "empty")
    links = read_links(path)
    remove_netns(path)
    assert [one.name for one in links.interfaces] == ["lo"]
    assert links.routes == () or {one.interface for one in links.routes} == {"lo"}


@pytest.mark.kernel
def test_a_missing_or_wrong_namespace_is_told(places):
    with pytest.raises(NotFound):
        read_links("/nonexistent")
    with pytest.raises(ProgramFailed, match="could not be read"):
        read_links("/etc/hosts")
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
