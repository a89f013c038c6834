"""The process that answers names, for real: in a network namespace whose loopback stands for bridges and servers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from rootless_pod.errors import ProgramFailed
from rootless_pod.linux import namespaces, procfs
from rootless_pod.linux.capabilities import bits_of, status_bits
from rootless_pod.network.definition import Network, Subnet
from rootless_pod.network.lease import Lease
from rootless_pod.network.resolver import Resolver, own_namespace
from rootless_pod.network.resolver_start import ensure_resolver, start_ahead
from rootless_pod.paths import Paths
from rootless_pod.state.record import write_record

pytestmark = pytest.mark.kernel
UPSTREAM = "127.0.9.53"
NETNS = "/proc/self/ns/net"


class World:
    """A store with networks on 127.0.N.0/24, in a network namespace of its own."""

    def __init__(self, places):
        namespaces.unshare(namespaces.CLONE_NEWNET)
        with socket.socket() as one:
            import fcntl
            import struct

            fcntl.ioctl(one, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING
        self.paths = Paths(graphroot=f"{places.root}/{'g' * 40}", runroot=f"{places.root}/{'r' * 60}", boot_id="b" * 32)
        self.paths.prepare()
        os.makedirs(self.paths.networks, exist_ok=True)

    def network(self, name, number, **more):
        subnets = (Subnet(subnet=f"127.0.{number}.0/24", gateway=f"127.0.{number}.1"),)
        made = Network(name=name, id="1" * 64, interface=name, created="", subnets=subnets, **more)
        write_record(f"{self.paths.networks}/{name}.json", made.to_json())

    def lease(self, network, container, address, *aliases):
        os.makedirs(f"{self.paths.leases}/{network}", exist_ok=True)
        made = Lease(container=container, name=container, addresses=(f"{address}/24",), aliases=aliases)
        write_record(self.lease_file(network, container), made.to_json())

    def lease_file(self, network, container):
        return f"{self.paths.leases}/{network}/{container}.json"

    def ensure(self, network):
        ensure_resolver(self.paths, network, netns_path=NETNS, upstream=(UPSTREAM,))

    def ask(self, name, kind="A", *, source="127.0.1.5", at="127.0.1.1", how=dns.query.udp):
        return how(dns.message.make_query(name, kind), at, timeout=5, source=source)

    def addresses(self, name, **more):
        return sorted(str(one) for rrset in self.ask(name, **more).answer for one in rrset)

    def pids(self):
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    words = open(f"/proc/{name}/cmdline", "rb").read()
                except OSError:
                    continue
                if b"network.resolver" in words and self.paths.graphroot.encode() in words:
                    found.append(int(name))
        return [pid for pid in found if procfs.is_alive(pid, procfs.start_time(pid))]

    def wait_gone(self):
        deadline = time.monotonic() + 20
        while self.pids() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self.pids() == []


def serve(answer):
    """Stand in for a server of the outside: a thread that answers over UDP and TCP by ``answer(query, stream)``."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((UPSTREAM, 53))
    tcp = socket.socket()
    tcp.bind((UPSTREAM, 53))
    tcp.listen()

    def datagrams():
        while True:
            wire, source = udp.recvfrom(65535)
            for part in answer(wire, False):
                udp.sendto(part, source)

    def connections():
        while True:
            one, _source = tcp.accept()
            with one:
                size = int.from_bytes(one.recv(2, socket.MSG_WAITALL), "big")
                for part in answer(one.recv(size, socket.MSG_WAITALL), True):
                    one.sendall(len(part).to_bytes(2, "big") + part)

    for work in (datagrams, connections):
        threading.Thread(target=work, daemon=True).start()


def record(wire, *addresses):
    response = dns.message.make_response(dns.message.from_wire(wire))
    name = response.question[0].name
    response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", *addresses))
    return response


def test_names_follow_leases_at_once_and_the_process_ends_with_the_last(places):
    world = World(places)
    world.network("red", 1)
    world.lease("red", "web", "127.0.1.5", "www")
    world.ensure("red")
    assert world.addresses("web") == world.addresses("www.dns.podman") == ["127.0.1.5"]
    for number in range(6, 30):
        world.lease("red", f"c{number}", f"127.0.1.{number}")
        assert world.addresses(f"c{number}") == [f"127.0.1.{number}"]
    os.unlink(world.lease_file("red", "c6"))
    assert world.ask("c6.dns.podman").rcode() == dns.rcode.NXDOMAIN
    assert world.addresses("web", how=dns.query.tcp) == ["127.0.1.5"]
    assert len(world.pids()) == 1
    for name in os.listdir(f"{world.paths.leases}/red"):
        os.unlink(f"{world.paths.leases}/red/{name}")
    world.wait_gone()


def test_one_process_serves_all_networks_and_shows_each_its_own(places):
    world = World(places)
    world.network("red", 1)
    world.network("blue", 2, internal=True)
    world.lease("red", "web", "127.0.1.5")
    world.ensure("red")
    world.lease("blue", "web", "127.0.2.5")
    world.lease("blue", "batch", "127.0.2.6")
    world.ensure("blue")
    world.ensure("blue")
    assert len(world.pids()) == 1
    assert world.addresses("batch") == ["127.0.2.6"]
    assert world.addresses("web", source="127.0.2.6", at="127.0.2.1") == ["127.0.2.5"]
    assert world.ask("example.com", source="127.0.2.6", at="127.0.2.1").rcode() == dns.rcode.NXDOMAIN
    assert world.ask("web", source="127.0.2.6").rcode() == dns.rcode.REFUSED


def test_other_names_are_asked_for_outside_over_the_same_protocol(places):
    world = World(places)
    world.network("red", 1)
    world.lease("red", "web", "127.0.1.5")

    def answer(wire, stream):
        if b"many" in wire and not stream:
            response = dns.message.make_response(dns.message.from_wire(wire))
            response.flags |= dns.flags.TC
            return [response.to_wire()]
        if b"lies" in wire:
            wrong = bytes([wire[0] ^ 1]) + record(wire, "192.0.2.66").to_wire()[1:]
            return [
                b"",
                wrong,
                record(wire[:13] + b"X" + wire[14:], "192.0.2.66").to_wire(),
                record(wire, "192.0.2.1").to_wire(),
            ]
        if b"mute" in wire:
            return []
        return [record(wire, *[f"192.0.2.{number}" for number in range(1, 100 if stream else 3)]).to_wire()]

    serve(answer)
    world.ensure("red")
    assert world.addresses("example.com") == ["192.0.2.1", "192.0.2.2"]
    assert world.addresses("lies.example.com") == ["192.0.2.1"]
    assert world.ask("many.example.com").flags & dns.flags.TC
    assert len(world.addresses("many.example.com", how=dns.query.tcp)) == 99
    assert world.ask("mute.example.com").rcode() == dns.rcode.SERVFAIL


def test_one_started_ahead_is_the_one_that_is_used(places):
    world = World(places)
    world.network("red", 1)
    world.lease("red", "web", "127.0.1.5")
    ahead = start_ahead(world.paths, NETNS)
    started = world.pids()
    ensure_resolver(world.paths, "red", netns_path=NETNS, upstream=(), ahead=ahead)
    assert world.pids() == started
    assert len(started) == 1
    assert start_ahead(world.paths, NETNS) == -1


def test_it_keeps_no_power_but_to_bind_its_port(places):
    world = World(places)
    world.network("red", 1)
    world.lease("red", "web", "127.0.1.5")
    world.ensure("red")
    (pid,) = world.pids()
    status = procfs.read_text(f"/proc/{pid}/status")
    assert status_bits("CapEff", status) == status_bits("CapPrm", status) == bits_of(("CAP_NET_BIND_SERVICE",))
    assert "NoNewPrivs:\t1" in status


def test_a_killed_process_is_replaced_by_the_next_that_needs_it(places):
    world = World(places)
    world.network("red", 1)
    world.lease("red", "web", "127.0.1.5")
    world.ensure("red")
    (killed,) = world.pids()
    os.kill(killed, signal.SIGKILL)
    os.waitpid(killed, 0)
    world.ensure("red")
    assert world.addresses("web") == ["127.0.1.5"]
    assert len(world.pids()) == 1


def test_one_of_a_namespace_that_is_gone_makes_way(places):
    world = World(places)
    world.network("red", 1)
    world.lease("red", "web", "127.0.1.5")
    world.ensure("red")
    old = world.pids()
    again = World(places)
    again.ensure("red")
    assert again.addresses("web") == ["127.0.1.5"]
    assert again.pids() != old
    assert len(again.pids()) == 1


def test_several_at_once_get_one_process(places):
    world = World(places)
    world.network("red", 1)
    world.lease("red", "web", "127.0.1.5")
    children = []
    for _ in range(4):
        pid = os.fork()
        if not pid:
            code = 1
            try:
                world.ensure("red")
                code = 0 if world.addresses("web") == ["127.0.1.5"] else 2
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4
    assert len(world.pids()) == 1


def test_two_who_ask_at_the_same_moment_are_both_served(places):
    world = World(places)
    world.network("red", 1)
    world.lease("red", "web", "127.0.1.5")
    request = {"network": "red", "netns": own_namespace(), "upstream": []}

    async def ask(resolver):
        here, there = socket.socketpair()
        asking, asked = await asyncio.open_connection(sock=here), await asyncio.open_connection(sock=there)
        asking[1].write(json.dumps(request).encode() + b"\n")
        await resolver.asked(*asked)
        answer = json.loads(await asking[0].readline())
        asking[1].close()
        return answer

    async def work():
        resolver = Resolver(world.paths)
        try:
            return await asyncio.gather(*[ask(resolver) for _ in range(3)])
        finally:
            resolver.close()

    assert asyncio.run(work()) == [{"state": "served"}] * 3


def test_garbage_never_ends_it(places):
    world = World(places)
    world.network("red", 1)
    world.lease("red", "web", "127.0.1.5")
    world.ensure("red")
    pids = world.pids()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.1.5", 0))
        for _ in range(2000):
            one.sendto(os.urandom(os.urandom(1)[0] % 60), ("127.0.1.1", 53))
    for _ in range(20):
        with socket.create_connection(("127.0.1.1", 53), source_address=("127.0.1.5", 0)) as stream:
            stream.sendall(os.urandom(40))
    with socket.socket(socket.AF_UNIX) as local:
        os.chdir(f"{world.paths.leases}/.resolver")
        local.connect("socket")
        local.sendall(os.urandom(100) + b"\n")
    # Over TCP: a full queue may lose datagrams.
    assert world.addresses("web", how=dns.query.tcp) == ["127.0.1.5"]
    assert world.addresses("web") == ["127.0.1.5"]
    assert world.pids() == pids


def test_a_port_that_is_taken_is_said(places):
    world = World(places)
    world.network("red", 1)
    world.lease("red", "web", "127.0.1.5")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.1.1", 53))
        with pytest.raises(ProgramFailed, match=r"cannot answer at 127.0.1.1 port 53"):
            world.ensure("red")
    world.ensure("red")
    assert world.addresses("web") == ["127.0.1.5"]
