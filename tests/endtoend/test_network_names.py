"""Names on named networks: who finds whom, and that answers follow what containers do."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Rpod, make_store

_LOOK = "import socket, sys\nfor name in sys.argv[1:]:\n    try: print(name, socket.gethostbyname(name))\n    except OSError: print(name, 'nowhere')"


@pytest.fixture(scope="module")
def store() -> Iterator[Rpod]:
    made = make_store()
    made("network", "create", "one")
    made("network", "create", "two", "--internal")
    yield made
    made.end()


@pytest.fixture
def net(store: Rpod) -> Iterator[Rpod]:
    yield store
    store.run("rm", "-fa", "-t", "0")
    deadline = time.monotonic() + 20
    while resolvers(store) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert resolvers(store) == []


def resolvers(rpod: Rpod) -> list[int]:
    """Return the pids of the processes that answer names for a store."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if b"network.resolver" in words and str(rpod.root).encode() in words:
            found.append(int(entry.name))
    return found


def sleeper(rpod: Rpod, name: str, *words: str) -> None:
    rpod("run", "-d", "--name", name, *words, "host", "sleep", "300")


def address(rpod: Rpod, name: str, network: str) -> str:
    networks = json.loads(rpod("inspect", name))[0]["NetworkSettings"]["Networks"]
    return str(networks[network]["IPAddress"])


def look(rpod: Rpod, asker: str, *names: str) -> dict[str, str]:
    said = rpod("exec", asker, "python3", "-c", _LOOK, *names)
    return dict(line.split() for line in said.splitlines())


def test_containers_find_each_other_on_the_networks_they_share(net: Rpod) -> None:
    sleeper(net, "web", "--network", "one", "--network-alias", "shop")
    sleeper(net, "db", "--network", "one,two")
    sleeper(net, "batch", "--network", "two")
    web, db = address(net, "web", "one"), address(net, "db", "one")
    short = net("ps", "-q", "--filter", "name=web").strip()
    found = look(net, "db", "web", "shop", short, "web.dns.podman", "WEB", "batch")
    assert {found[name] for name in ("web", "shop", short, "web.dns.podman", "WEB")} == {web}
    assert found["batch"] == address(net, "batch", "two")
    assert look(net, "batch", "db", "web") == {"db": address(net, "db", "two"), "web": "nowhere"}
    assert look(net, "web", "db", "batch.dns.podman") == {"db": db, "batch.dns.podman": "nowhere"}
    assert net("exec", "web", "cat", "/etc/resolv.conf").count("nameserver") == 1
    assert len(resolvers(net)) == 1
    (shown,) = json.loads(net("network", "inspect", "one"))
    holders = {one["name"]: one["interfaces"]["eth0"]["subnets"][0]["ipnet"] for one in shown["containers"].values()}
    assert holders == {"web": f"{web}/24", "db": f"{db}/24"}


def test_names_follow_what_containers_do(net: Rpod) -> None:
    sleeper(net, "web", "--network", "one")
    sleeper(net, "other", "--network", "two")
    assert look(net, "web", "other.dns.podman")["other.dns.podman"] == "nowhere"
    net("network", "connect", "--alias", "late", "one", "other")
    assert look(net, "web", "other", "late") == dict.fromkeys(("other", "late"), address(net, "other", "one"))
    net("rename", "other", "renamed")
    assert look(net, "web", "renamed")["renamed"] == address(net, "renamed", "one")
    net("restart", "-t", "0", "renamed")
    assert look(net, "web", "late")["late"] == address(net, "renamed", "one")
    net("network", "disconnect", "one", "renamed")
    assert look(net, "web", "renamed.dns.podman", "late.dns.podman") == dict.fromkeys(
        ("renamed.dns.podman", "late.dns.podman"), "nowhere"
    )


def test_several_containers_of_one_alias_are_all_found(net: Rpod) -> None:
    for name in ("a", "b", "c"):
        sleeper(net, name, "--network", "one", "--network-alias", "all")
    code = "import socket; print(sorted({one[4][0] for one in socket.getaddrinfo('all', 1, socket.AF_INET)}))"
    assert net("exec", "a", "python3", "-c", code).strip() == str(sorted(address(net, name, "one") for name in "abc"))
    net("stop", "-t", "0", "b")
    assert net("exec", "a", "python3", "-c", code).strip() == str(sorted(address(net, name, "one") for name in "ac"))


def test_a_killed_resolver_is_mended_by_the_next_start(net: Rpod) -> None:
    sleeper(net, "web", "--network", "one")
    (killed,) = resolvers(net)
    os.kill(killed, signal.SIGKILL)
    sleeper(net, "next", "--network", "one")
    assert look(net, "web", "next")["next"] == address(net, "next", "one")
    (living,) = resolvers(net)
    assert living != killed


def test_many_starts_at_once_share_one_resolver(net: Rpod) -> None:
    threads = [threading.Thread(target=sleeper, args=(net, f"c{at}", "--network", "one")) for at in range(5)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(resolvers(net)) == 1
    names = [f"c{at}" for at in range(5)]
    assert look(net, "c0", *names) == {name: address(net, name, "one") for name in names}


def test_a_strictly_isolated_network_is_reached_from_no_other(net: Rpod) -> None:
    net("network", "create", "-o", "isolate=strict", "apart")
    net("network", "create", "open")
    for name in ("one", "open", "apart"):
        sleeper(net, f"in-{name}", "--network", name)

    def reaches(here: str, there: str) -> bool:
        target = address(net, f"in-{there}", there)
        code = f"import socket; print(socket.socket().connect_ex(('{target}', 9)))"
        said = net.run("exec", f"in-{here}", "timeout", "1", "python3", "-c", code)
        return said.stdout.strip() == b"111"  # refused by a port where nobody listens

    assert reaches("one", "open")
    assert not reaches("one", "apart")
    assert not reaches("apart", "open")
    net("rm", "-fa", "-t", "0")
    net("network", "rm", "apart", "open")


def test_stores_of_one_runtime_directory_have_networks_of_their_own(net: Rpod, tmp_path: Path) -> None:
    other = Rpod(tmp_path / "other", net.runroot)
    other("network", "create", "one")
    sleeper(net, "mine", "--network", "one")
    sleeper(other, "theirs", "--network", "one")
    assert look(net, "mine", "mine")["mine"] == address(net, "mine", "one")
    assert look(net, "mine", "theirs.dns.podman") == {"theirs.dns.podman": "nowhere"}
    assert look(other, "theirs", "theirs", "mine.dns.podman")["mine.dns.podman"] == "nowhere"
    other("stop", "-t", "0", "theirs")
    assert look(net, "mine", "mine.dns.podman")["mine.dns.podman"] == address(net, "mine", "one")
    net("rm", "-fa", "-t", "0")
    other("rm", "-fa", "-t", "0")


def test_a_removed_network_takes_its_containers_along(net: Rpod) -> None:
    net("network", "create", "gone")
    sleeper(net, "a", "--network", "gone")
    sleeper(net, "b", "--network", "gone,one")
    sleeper(net, "c", "--network", "one")
    net("pod", "create", "--name", "p", "--network", "gone")
    assert "associated containers" in net.error("network", "rm", "gone", code=2)
    assert net("network", "prune", "-f") == "two\n"
    net("network", "create", "two", "--internal")
    assert net("network", "rm", "-f", "-t", "0", "gone") == "gone\n"
    assert net("ps", "-a", "--format", "{{.Names}}") == "c\n"
    assert net("pod", "ps", "-q") == ""
