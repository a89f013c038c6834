"""Bridges and cables where namespaces or networks are gone."""

from __future__ import annotations

import os

import pytest

from rootless_pod.errors import HostUnready
from rootless_pod.network import bridges
from rootless_pod.network.definition import Network
from rootless_pod.network.ipam import write_lease
from rootless_pod.network.lease import Lease
from rootless_pod.paths import Paths
from rootless_pod.state.record import write_record


def test_a_container_that_ended_meanwhile_is_an_error_with_a_remedy_and_leaves_nothing_open(tmp_path):
    before = os.listdir("/proc/self/fd")
    with pytest.raises(HostUnready, match="cannot connect a named network: No such file") as caught:
        bridges.connect("/proc/self/ns/net", str(tmp_path / "gone"), (), ())
    assert caught.value.remedy
    assert os.listdir("/proc/self/fd") == before


def test_a_container_that_ended_meanwhile_is_off_its_networks(tmp_path):
    bridges.disconnect(str(tmp_path / "gone"), "eth0")


def test_the_name_of_a_network_that_is_gone_is_not_the_beginning_of_the_id_of_another(tmp_path):
    paths = Paths(graphroot=str(tmp_path / "graph"), runroot=str(tmp_path / "run"), boot_id="b")
    other = Network(name="other", id="ab" * 32, interface="podman1", created="")
    for directory in (paths.networks, f"{paths.leases}/ab", f"{paths.leases}/other"):
        os.makedirs(directory)
    write_record(f"{paths.networks}/other.json", other.to_json())
    for network in ("ab", "other"):
        write_lease(paths, network, Lease(container="c" * 64, name="c"))
    assert [one.name for one in bridges.active_networks(paths)] == ["other"]
