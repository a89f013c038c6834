"""Named networks: containers that reach each other, ports, the way out, and what is left when something is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Rpod, free_port, make_store

_SERVE = """
import http.server, sys
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(sys.argv[1].encode())
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("", 80), Hello).serve_forever()
"""
_FETCH = """
import sys, time, urllib.request
for _try in range(50):
    try:
        print(urllib.request.urlopen(sys.argv[1], timeout=2).read().decode())
        break
    except ConnectionRefusedError: pass
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ConnectionRefusedError):
            sys.exit(f"out of reach: {error.reason}")
    time.sleep(0.05)
"""
_ECHO = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 5353))
while True:
    data, sender = server.recvfrom(2048)
    server.sendto(b"echo " + data, sender)
"""


@pytest.fixture(scope="module")
def store() -> Iterator[Rpod]:
    made = make_store()
    made("network", "create", "one")
    made("network", "create", "two", "-o", "isolate=true")
    yield made
    made.end()


@pytest.fixture
def net(store: Rpod) -> Iterator[Rpod]:
    """A store with the networks ``one`` and ``two``; whatever a test leaves behind is removed, and all that is shared."""
    yield store
    store.run("pod", "rm", "-fa", "-t", "0")
    store.run("rm", "-fa", "-t", "0")
    assert leases(store) == []
    assert way_out(store) == []


def leases(rpod: Rpod) -> list[Path]:
    return [path for path in rpod.runroot.glob("*/networks/*/*.json") if path.parent.name != ".shared"]


def way_out(rpod: Rpod) -> list[int]:
    """Return the pid of the program that leads out of the shared namespace, if it lives."""
    found = [json.loads(path.read_text())["pid"] for path in rpod.runroot.glob("*/networks/.shared/helper.json")]
    return [pid for pid in found if Path(f"/proc/{pid}/cmdline").exists()]


def serve(rpod: Rpod, name: str, *words: str) -> str:
    """Start a server that says its name on port 80; return its id."""
    return rpod("run", "-d", "--name", name, *words, "host", "python3", "-c", _SERVE, name).strip()


def fetch(rpod: Rpod, url: str, *words: str) -> str:
    return rpod("run", "--rm", *words, "host", "python3", "-c", _FETCH, url).strip()


def settings(rpod: Rpod, name: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(rpod("inspect", name))[0]["NetworkSettings"]["Networks"]
    return found


def address(rpod: Rpod, name: str, network: str) -> str:
    return str(settings(rpod, name)[network]["IPAddress"])


def asked(port: int) -> str:
    """Return what the server behind a port of this machine says."""
    for _try in range(100):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nothing answers on port {port}")


def test_containers_of_one_network_reach_each_other_and_those_of_an_isolated_one_do_not(net: Rpod) -> None:
    serve(net, "web", "--network", "one")
    serve(net, "apart", "--network", "two")
    net("network", "create", "three", "-o", "isolate=true")
    assert fetch(net, f"http://{address(net, 'web', 'one')}/", "--network", "one") == "web"
    for name in ("web", "web.dns.podman", net("ps", "-qf", "name=web").strip()):
        assert fetch(net, f"http://{name}/", "--network", "one") == "web"
    # Networks lead to each other unless both are isolated, as podman's do.
    assert fetch(net, f"http://{address(net, 'web', 'one')}/", "--network", "two") == "web"
    done = net.run(
        "run", "--rm", "--network", "three", "host", "python3", "-c", _FETCH,
        f"http://{address(net, 'apart', 'two')}/",
    )  # fmt: skip
    assert b"out of reach" in done.stderr
    net("network", "rm", "three")


def test_published_ports_lead_into_a_named_network(net: Rpod) -> None:
    tcp, udp = free_port(), free_port()
    serve(net, "web", "--network", "one", "-p", f"127.0.0.1:{tcp}:80", "-p", "80")
    assert asked(tcp) == "web"
    chosen = net("port", "web").rpartition(":")[2].strip()
    assert asked(int(chosen)) == "web"
    taken = net.error("run", "--rm", "--network", "two", "-p", f"127.0.0.1:{tcp}:80", "host", "true")
    assert f"host port {tcp}/tcp is already in use" in taken
    assert "the next free port is" in taken
    net("run", "-d", "--network", "one", "-p", f"{udp}:5353/udp", "host", "python3", "-c", _ECHO)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        for _try in range(50):
            client.sendto(b"hello", ("127.0.0.1", udp))
            try:
                assert client.recv(100) == b"echo hello"
                break
            except TimeoutError:
                continue
        else:
            pytest.fail("no datagram came back")


def test_a_large_body_passes_a_published_port_both_ways(net: Rpod) -> None:
    port = free_port()
    program = (
        "import socket\nserver = socket.create_server(('', 80))\n"
        "one, _ = server.accept()\nparts = []\nwhile part := one.recv(65536): parts.append(part)\n"
        "one.sendall(b''.join(parts)[::-1])\none.close()\n"
    )
    net("run", "-d", "--network", "one", "-p", f"127.0.0.1:{port}:80", "host", "python3", "-c", program)
    body = bytes(range(256)) * 40_000
    answer = b""
    for _try in range(100):
        answer = exchange(port, body)
        if answer:
            break
        time.sleep(0.05)
    assert answer == body[::-1]


def exchange(port: int, body: bytes) -> bytes:
    """Send and receive at once; nothing comes back while nobody listens in the container."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:

        def send() -> None:
            try:
                client.sendall(body)
                client.shutdown(socket.SHUT_WR)
            except OSError:
                return

        sender = threading.Thread(target=send)
        sender.start()
        parts = []
        try:
            while part := client.recv(1 << 16):
                parts.append(part)
        except ConnectionError:
            parts = []
        sender.join()
        return b"".join(parts)


def test_the_outside_is_reached_but_not_from_an_internal_network(net: Rpod) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            own = probe.getsockname()[0]
        except OSError:
            pytest.skip("this machine has no route to anywhere")
    with socket.create_server((own, 0)) as listener:
        port = listener.getsockname()[1]
        program = f"import socket; print(socket.create_connection(({own!r}, {port}), 5).getpeername()[1])"
        assert net("run", "--rm", "--network", "one", "host", "python3", "-c", program) == f"{port}\n"
        net("network", "create", "--internal", "--ipv6", "inner")
        assert net.run("run", "--rm", "--network", "inner", "host", "python3", "-c", program).returncode == 1
        assert "default" not in net("run", "--rm", "--network", "inner", "host", "ip", "route")
        serve(net, "web", "--network", "inner")
        assert fetch(net, f"http://{address(net, 'web', 'inner')}/", "--network", "inner") == "web"
        six = str(settings(net, "web")["inner"]["GlobalIPv6Address"])
        net("exec", "web", "python3", "-c", f"import socket; socket.create_connection(({six!r}, 9), 1)", code=1)
        assert six in net("exec", "web", "ip", "-6", "addr")
        # Nothing leads out of what is internal alone.
        assert way_out(net) == []
        wanted = f"{six.rpartition(':')[0]}:77"
        net("run", "-d", "--name", "second", "--network", "one", "host", "sleep", "100")
        net("network", "connect", "--ip6", wanted, "inner", "second")
        assert settings(net, "second")["inner"]["GlobalIPv6Address"] == wanted
        net("rm", "-f", "-t", "0", "second")
        net("rm", "-f", "-t", "0", "web")
        net("network", "rm", "inner")


@pytest.mark.covers("run --network-alias", "create --network-alias")
def test_addresses_names_and_interfaces_are_as_asked(net: Rpod) -> None:
    subnet = json.loads(net("network", "inspect", "one"))[0]["subnets"][0]["subnet"].rpartition(".")[0]
    mac = "92:d0:c6:0a:29:33"
    serve(net, "web", "--network", "one", "--ip", f"{subnet}.77", "--mac-address", mac, "--network-alias", "shop")
    shown = settings(net, "web")["one"]
    assert (shown["IPAddress"], shown["MacAddress"], shown["IPPrefixLen"]) == (f"{subnet}.77", mac, 24)
    assert shown["Aliases"] == ["shop", net("ps", "-q").strip()]
    assert shown["NetworkID"] == "one"
    said = net("exec", "web", "sh", "-c", "cat /sys/class/net/eth0/address; cat /etc/resolv.conf /etc/hosts")
    assert said.startswith(f"{mac}\nsearch dns.podman")
    assert f"nameserver {subnet}.1\n" in said
    assert f"{subnet}.77\t" in said
    web = net("ps", "-q", "--no-trunc").strip()
    told = net.error("run", "--rm", "--network", "two", "--network", f"one:ip={subnet}.77", "host", "true")
    assert f"requested ip address {subnet}.77 is already allocated to container ID {web}" in told
    named = ("--network", "two:interface_name=lan0,mac=92:d0:c6:0a:29:34", "--network", "one")
    said = [line.split() for line in net("run", "--rm", *named, "host", "ip", "-br", "link").splitlines()]
    assert [line[0].partition("@")[0] for line in said] == ["lo", "lan0", "eth0"]
    assert said[1][2] == "92:d0:c6:0a:29:34"
    assert net("ps", "--format", "{{.Names}} {{.Networks}}", "--filter", "network=one") == "web one\n"
    assert net("ps", "-q", "--filter", "network=two") == ""


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--network", "nosuch"), "unable to find network with name or ID nosuch: network not found"),
        (("--network-alias", "x"), "networks and static ip/mac address can only be used with Bridge mode networking"),
        (("--network", "none", "--network-alias", "x"), "can only be set when the network mode is bridge"),
        (("--network", "host", "--network", "one"), "cannot set multiple networks without bridge network mode"),
        (("--network", "one", "--network", "host"), "selected mode host conflicts with bridge"),
        (("--network", "one,two", "--ip", "10.1.2.3"), "--ip can only be set for a single network"),
        (("--network", "one", "--ip", "10.1.2.3"), "requested static ip 10.1.2.3 not in any subnet on network one"),
        (("--network", "one:foo=bar"), "invalid option for network one: unknown bridge network option: foo"),
        (("--network", "one:ip=1.2.3"), 'invalid option for network one: invalid ip address "1.2.3"'),
        (("--network", "one", "--mac-address", "no"), "address no: invalid MAC address"),
    ],
)
def test_what_can_not_be_is_refused_in_the_words_of_podman(net: Rpod, words: tuple[str, ...], error: str) -> None:
    assert error in net.error("create", *words, "host", "true")
    assert net("ps", "-aq") == ""


def test_a_container_joins_and_leaves_networks_while_it_runs(net: Rpod) -> None:
    serve(net, "web", "--network", "one")
    serve(net, "other", "--network", "two")
    first = address(net, "web", "one")
    net("network", "connect", "--alias", "shop", "two", "web")
    assert "already connected to network" in net.error("network", "connect", "two", "web")
    second = address(net, "web", "two")
    assert f"{second}\t" in net("exec", "web", "cat", "/etc/hosts")
    assert net("exec", "other", "python3", "-c", _FETCH, f"http://{second}/") == "web\n"
    assert net("exec", "web", "ip", "route").count("default via") == 2
    net("network", "disconnect", "one", "web")
    assert net("exec", "web", "ip", "route").count("default via") == 1
    said = net("exec", "web", "cat", "/etc/hosts", "/etc/resolv.conf")
    assert f"{first}\t" not in said
    assert list(settings(net, "web")) == ["two"]
    assert "is not connected to network one" in net.error("network", "disconnect", "one", "web")
    net("restart", "-t", "0", "web")
    assert list(settings(net, "web")) == ["two"]
    assert settings(net, "web")["two"]["Aliases"] == ["shop", net("ps", "-qf", "name=web").strip()]
    net("create", "--name", "plain", "host", "true")
    assert "is not supported: invalid network mode" in net.error("network", "connect", "one", "plain")
    assert "no container with name" in net.error("network", "disconnect", "-f", "one", "gone")


def test_a_renamed_container_is_found_by_its_new_name(net: Rpod) -> None:
    serve(net, "old", "--network", "one")
    net("rename", "old", "new")
    (lease,) = (json.loads(path.read_text()) for path in leases(net))
    assert lease["name"] == "new"
    assert lease["aliases"][0] == "new"


def test_the_containers_of_a_pod_share_its_networks(net: Rpod) -> None:
    port = free_port()
    net("pod", "create", "--name", "p", "--network", "one", "--network-alias", "shop", "-p", f"127.0.0.1:{port}:80")
    serve(net, "web", "--pod", "p")
    assert asked(port) == "web"
    assert "shop" in settings(net, "web")["one"]["Aliases"]  # type: ignore[operator]
    assert fetch(net, f"http://{address(net, 'web', 'one')}/", "--network", "one") == "web"
    assert net("pod", "ps", "--format", "{{.Name}} {{.Networks}}", "--filter", "network=one") == "p one\n"
    net("pod", "stop", "-t", "0", "p")
    assert leases(net) == []


def test_what_is_shared_ends_with_the_last_container(net: Rpod) -> None:
    serve(net, "a", "--network", "one")
    serve(net, "b", "--network", "two")
    (helper,) = way_out(net)
    net("stop", "-t", "0", "a")
    assert [path.parent.name for path in leases(net)] == ["two"]
    assert way_out(net) == [helper]
    net("kill", "b")
    net("wait", "b")
    for _try in range(100):
        if not leases(net) and not Path(f"/proc/{helper}").exists():
            break
        time.sleep(0.05)
    assert leases(net) == []
    assert net.mounts() == []
    net("start", "a")
    assert asked_inside(net, "a") == "a"


def asked_inside(rpod: Rpod, name: str) -> str:
    return rpod("exec", name, "python3", "-c", _FETCH, "http://127.0.0.1/").strip()


def test_a_killed_way_out_is_made_anew(net: Rpod) -> None:
    serve(net, "web", "--network", "one")
    (helper,) = way_out(net)
    os.kill(helper, signal.SIGKILL)
    assert fetch(net, f"http://{address(net, 'web', 'one')}/", "--network", "one") == "web"
    (again,) = way_out(net)
    assert again != helper
    os.kill(again, signal.SIGKILL)
    assert net("network", "reload", "--all") == net("ps", "-q", "--no-trunc")
    assert net("network", "reload", "--latest") == net("ps", "-q", "--no-trunc")
    (third,) = way_out(net)
    assert third != again
    assert "default via 10.0.2.2" in net("unshare", "--rootless-netns", "ip", "route")
    net("create", "--name", "idle", "--network", "one", "host", "true")
    assert "unless it is running" in net.error("network", "reload", "idle")


def test_a_way_out_that_has_an_accident_is_started_once_more(
    net: Rpod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pasta = shutil.which("pasta")
    if pasta is None:
        pytest.skip("pasta is not installed")
    (tmp_path / "slirp4netns").write_text("#!/bin/sh\necho broken >&2; exit 1\n")
    (tmp_path / "pasta").write_text(
        f"#!/bin/sh\ncase \" $* \" in *' --netns '*) rmdir {tmp_path}/accident 2>/dev/null && "
        'echo "Couldn\'t drop cap 0 from bounding set: No child processes" >&2 && exit 1; esac\n'
        f'exec {pasta} "$@"\n'
    )
    for name in ("slirp4netns", "pasta"):
        (tmp_path / name).chmod(0o755)
    (tmp_path / "accident").mkdir()
    monkeypatch.setitem(net.env, "PATH", f"{tmp_path}:{os.environ['PATH']}")
    net("run", "-d", "--name", "web", "--network", "one", "host", "sleep", "60")
    assert not (tmp_path / "accident").exists()
    (helper,) = way_out(net)
    assert Path(f"/proc/{helper}/cmdline").read_bytes().startswith(pasta.encode())


def test_killed_monitors_leave_nothing_running_but_their_containers(net: Rpod) -> None:
    serve(net, "web", "--network", "one", "-p", "80")
    (helper,) = way_out(net)
    monitor = int(next(net.runroot.glob("*/containers/*/conmon.pid")).read_text())
    os.kill(monitor, signal.SIGKILL)
    for _try in range(100):
        left = [line for line in net.processes() if "network.forward" in line]
        if not left and not Path(f"/proc/{helper}/exe").exists():
            break
        time.sleep(0.05)
    assert not left
    net("rm", "-f", "-t", "0", "web")
    assert leases(net) == []
    assert net("run", "--rm", "--network", "one", "host", "true") == ""


def test_the_networks_of_two_stores_do_not_meet(net: Rpod) -> None:
    serve(net, "web", "--network", "podman")
    other = make_store()
    try:
        done = other.run(
            "run", "--rm", "--network", "podman:ip=10.88.0.99", "host", "python3", "-c", _FETCH,
            f"http://{address(net, 'web', 'podman')}/",
        )  # fmt: skip
        assert b"out of reach" in done.stderr
    finally:
        other.end()


def test_a_command_runs_in_the_shared_namespace(net: Rpod) -> None:
    assert "10.0.2.100" in net("unshare", "--rootless-netns", "ip", "-br", "addr")
    assert way_out(net) == []
    serve(net, "web", "--network", "one")
    assert (
        net("unshare", "--rootless-netns", "python3", "-c", _FETCH, f"http://{address(net, 'web', 'one')}/") == "web\n"
    )
    assert net.run("unshare", "--rootless-netns", "sh", "-c", "exit 7").returncode == 7
    assert net.run("unshare", "--rootless-netns", "no-such-program").returncode == 127
    assert way_out(net) != []


def test_many_containers_start_at_once(net: Rpod) -> None:
    started = [
        net.start("run", "--rm", "--network", "one", "host", "ip", "-4", "-br", "addr", "show", "eth0",
                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _number in range(6)
    ]  # fmt: skip
    said = [one.communicate(timeout=60) for one in started]
    assert [error for _out, error in said if error] == []
    assert len({out.split()[2] for out, _error in said}) == len(said)
