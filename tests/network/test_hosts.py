"""/etc/hosts of a container."""

from __future__ import annotations

import os

import pytest

from rootless_pod.errors import Usage
from rootless_pod.network.hosts import (
    decide_hosts,
    format_hosts,
    parse_add_host,
    parse_hosts,
    write_hostname,
    write_hosts,
)
from rootless_pod.network.mode import NetworkRequest
from rootless_pod.network.status import NetworkStatus

SLIRP = NetworkStatus(mode="slirp4netns", netns_path="/n", ip="10.0.2.100", host_address="192.0.2.2")


def names(**more):
    return {"hostname": "box", "container_name": "web", **more}


def test_comments_and_half_lines_are_dropped():
    assert parse_hosts("127.0.0.1 localhost # me\n# all\n\n::1\n10.0.0.1\ta b\n") == (
        ("127.0.0.1", ("localhost",)),
        ("10.0.0.1", ("a", "b")),
    )


def test_the_order_is_the_users_the_base_then_ours():
    entries = decide_hosts(
        (("10.0.0.1", ("db", "old")),),
        added=(("10.9.9.9", ("db",)),),
        own_address="10.0.2.100",
        own_names=("box", "web", "box"),
        host_address="192.0.2.2",
    )
    assert entries == (
        ("10.9.9.9", ("db",)),
        ("10.0.0.1", ("old",)),
        ("127.0.0.1", ("localhost",)),
        ("::1", ("localhost",)),
        ("192.0.2.2", ("host.containers.internal", "host.docker.internal")),
        ("10.0.2.100", ("box", "web")),
    )


def test_names_the_base_or_the_user_gives_are_not_given_again():
    entries = decide_hosts(
        (("127.0.0.1", ("localhost",)), ("10.0.0.9", ("host.docker.internal",))),
        added=(("10.1.1.1", ("web",)),),
        own_address="10.0.2.100",
        own_names=("box", "web"),
        host_address="192.0.2.2",
    )
    assert entries[-2:] == (("192.0.2.2", ("host.containers.internal",)), ("10.0.2.100", ("box",)))
    assert sum("localhost" in given for _address, given in entries) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db:10.0.0.1", ("10.0.0.1", ("db",))),
        ("a;b:10.0.0.1", ("10.0.0.1", ("a", "b"))),
        ("six:2001:db8::1", ("2001:db8::1", ("six",))),
        ("six:[2001:db8::1]", ("2001:db8::1", ("six",))),
        ("up:host-gateway", ("192.0.2.2", ("up",))),
    ],
)
def test_add_host_takes_names_and_an_address(text, expected):
    assert parse_add_host(text, "192.0.2.2") == expected


@pytest.mark.parametrize(
    "text", ["", "db", "db:", ":10.0.0.1", "a b:10.0.0.1", "db:nowhere", "x\ny:10.0.0.1", "db:10.0.0.1\n"]
)
def test_a_wrong_add_host_is_a_usage_error(text):
    with pytest.raises(Usage, match="--add-host"):
        parse_add_host(text, "192.0.2.2")


def test_host_gateway_needs_a_way_to_the_host():
    with pytest.raises(Usage, match="no address that leads to the host"):
        parse_add_host("up:host-gateway", None)


@pytest.mark.parametrize(
    ("status", "last"),
    [
        (SLIRP, "10.0.2.100\tbox web\n"),
        (NetworkStatus(mode="none", netns_path="/n"), "127.0.0.1\tbox web\n"),
        (NetworkStatus(mode="host", host_address="192.0.2.2"), "127.0.1.1\tweb\n"),
    ],
)
def test_the_containers_names_stand_for_the_address_of_its_network(tmp_path, status, last):
    base = tmp_path / "base"
    base.write_text("127.0.0.1 localhost\n127.0.1.1 box\n" if status.netns_path is None else "127.0.0.1 localhost\n")
    target = tmp_path / "hosts"
    assert write_hosts(str(target), NetworkRequest(), status, base_path=str(base), **names())
    text = target.read_text()
    assert text.endswith(last)
    assert target.stat().st_mode & 0o777 == 0o644
    assert format_hosts(parse_hosts(text)) == text


def test_no_hosts_writes_nothing_and_excludes_add_host(tmp_path):
    assert not write_hosts(f"{tmp_path}/hosts", NetworkRequest(no_hosts=True), SLIRP, **names())
    assert os.listdir(tmp_path) == []
    with pytest.raises(Usage, match="can't be set together"):
        write_hosts(f"{tmp_path}/hosts", NetworkRequest(no_hosts=True, add_hosts=("a:10.0.0.1",)), SLIRP, **names())


def test_a_missing_or_absent_base_is_an_empty_one(tmp_path):
    for base in (None, f"{tmp_path}/absent"):
        assert write_hosts(f"{tmp_path}/hosts", NetworkRequest(), SLIRP, base_path=base, **names())
        assert (tmp_path / "hosts").read_text().startswith("127.0.0.1\tlocalhost\n::1\tlocalhost\n")


def test_the_hostname_file_is_one_line(tmp_path):
    write_hostname(f"{tmp_path}/hostname", "box")
    assert (tmp_path / "hostname").read_text() == "box\n"
