"""Named networks as they are defined: made, shown, changed, removed; what is damaged, and many at once."""

from __future__ import annotations

import json
import subprocess


def test_a_network_is_made_with_everything_newer_podmans_know(rpod):
    words = ["network", "create", "--interface-name", "br-back", "--route", "10.21.0.0/24,10.77.0.9,50"]
    words += ["--dns", "9.9.9.9,1.1.1.1", "--subnet", "10.77.0.0/24", "--ip-range", "10.77.0.100-10.77.0.150"]
    assert rpod(*words, "--opt", "com.docker.network.driver.mtu=1400", "back") == "back\n"
    assert rpod("network", "create", "--ignore", "back") == "back\n"
    (found,) = json.loads(rpod("network", "inspect", "back"))
    assert found["network_interface"] == "br-back"
    assert found["routes"] == [{"destination": "10.21.0.0/24", "gateway": "10.77.0.9", "metric": 50}]
    assert found["network_dns_servers"] == ["9.9.9.9", "1.1.1.1"]
    assert found["subnets"][0]["lease_range"] == {"start_ip": "10.77.0.100", "end_ip": "10.77.0.150"}
    assert found["options"] == {"mtu": "1400"}
    assert rpod("network", "update", "back", "--dns-drop", "9.9.9.9", "--dns-add", "9.9.9.10") == "back\n"
    assert rpod("network", "inspect", "back", "-f", "{{.NetworkDNSServers}}") == "[1.1.1.1 9.9.9.10]\n"
    assert "has no name server" in rpod.error("network", "update", "back", "--dns-drop", "192.0.2.1")
    assert "already in use" in rpod.error("network", "create", "--interface-name", "br-back", "other")
    events = rpod("events", "--stream=false", "--since", "5m", "--filter", "type=network", "--format", "{{.Status}}")
    assert events == "create\n"


def test_what_needs_root_is_refused_with_the_reason(rpod):
    for words in (("-d", "macvlan"), ("-d", "ipvlan"), ("-o", "vlan=7"), ("--ipam-driver", "dhcp")):
        said = rpod.error("network", "create", *words, "x")
        assert len(said.splitlines()) == 2, said
    assert rpod("network", "ls", "-q") == "podman\n"


def test_a_damaged_definition_hides_no_other_and_can_be_removed(rpod):
    for name in ("good", "bad", "worse"):
        rpod("network", "create", name)
    for name in ("bad", "worse"):
        (rpod.root / "networks" / f"{name}.json").write_text('{"name": "ba')
    listed = rpod.run("network", "ls", "-q")
    assert (listed.returncode, listed.stdout) == (0, b"good\npodman\n")
    assert b"network bad" in listed.stderr
    assert "rpod network rm bad" in rpod.error("network", "inspect", "bad")
    assert "network" in rpod("system", "check", code=125)
    assert rpod("network", "rm", "bad") == "bad\n"
    rpod("system", "check", "--repair", "--force")
    assert not (rpod.root / "networks" / "worse.json").exists()
    assert rpod("network", "ls", "-q") == "good\npodman\n"


def test_networks_made_at_once_share_nothing(rpod):
    made = [rpod.start("network", "create", stdout=subprocess.PIPE) for _ in range(8)]
    names = {one.communicate()[0].decode().strip() for one in made}
    assert len(names) == 8
    found = json.loads(rpod("network", "inspect", *names))
    assert len({one["subnets"][0]["subnet"] for one in found}) == 8
    assert len({one["network_interface"] for one in found}) == 8
    assert set(rpod("network", "prune", "-f").split()) == names
    assert rpod("network", "prune", "-f") == ""


def test_reset_forgets_networks(rpod):
    rpod("network", "create", "gone")
    rpod("system", "reset", "-f")
    assert rpod("network", "ls", "-q") == "podman\n"


def test_free_subnets_come_from_the_pools_of_containers_conf(rpod, tmp_path):
    conf = tmp_path / "containers.conf"
    conf.write_text('[network]\ndefault_subnet_pools = [{"base" = "10.201.0.0/16", "size" = 26}]\n')
    configured = rpod.with_options(env={"CONTAINERS_CONF": str(conf)})
    configured("network", "create", "pooled")
    assert rpod("network", "inspect", "pooled", "-f", "{{range .Subnets}}{{.Subnet}}{{end}}") == "10.201.0.0/26\n"
