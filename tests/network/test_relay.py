"""The relay of published ports, between sockets of one machine."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from rootless_pod.network.relay import Relay, own_address
from rootless_pod.slirp.driver import PortMapping
from rootless_pod.state.record import write_record


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def relaying():
    """Relay from free ports of 127.0.0.1 to ports of 127.0.0.2; return a maker of those."""
    reading, writing = os.pipe()
    relay = Relay(lambda: "127.0.0.2")
    threads = []

    def make(inner, protocol="tcp", host_ip="127.0.0.1"):
        port = free_port(socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM)
        relay.listen(PortMapping(host_ip=host_ip, host_port=port, container_port=inner, protocol=protocol))
        if not threads:
            threads.append(threading.Thread(target=relay.run, args=(reading,)))
            threads[0].start()
        return port

    yield make
    os.close(writing)
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    relay.close()
    os.close(reading)


def test_bytes_pass_both_ways_and_the_end_of_one_is_told_to_the_other(relaying):
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = relaying(server.getsockname()[1])
        body = os.urandom(3_000_000)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            inner, _sender = server.accept()
            with inner:
                sender = threading.Thread(target=lambda: (client.sendall(body), client.shutdown(socket.SHUT_WR)))
                sender.start()
                received = b"".join(iter(lambda: inner.recv(65536), b""))
                sender.join()
                assert received == body
                inner.sendall(received[::-1])
            assert b"".join(iter(lambda: client.recv(65536), b"")) == body[::-1]


def test_a_slow_reader_holds_its_writer_up_and_nobody_else(relaying):
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = relaying(server.getsockname()[1])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as slow,
            socket.create_connection(("127.0.0.1", port), timeout=10) as quick,
        ):
            for_slow, _sender = server.accept()
            for_quick, _sender = server.accept()
            with for_slow, for_quick:
                for_slow.setblocking(False)
                sent = 0
                try:
                    while sent < 100_000_000:
                        sent += for_slow.send(bytes(65536))
                except BlockingIOError:
                    pass
                assert sent < 100_000_000
                for_quick.sendall(b"hello")
                assert quick.recv(10) == b"hello"
                for_slow.close()
                received = sum(len(part) for part in iter(lambda: slow.recv(65536), b""))
                assert received == sent


def test_what_was_sent_before_the_end_arrives_whole_however_slowly_it_is_read(relaying):
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = relaying(server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            inner, _sender = server.accept()
            client.shutdown(socket.SHUT_WR)
            body = os.urandom(12_000_000)

            def send():
                assert inner.recv(1) == b""
                inner.sendall(body)
                inner.close()

            sender = threading.Thread(target=send)
            sender.start()
            received = []
            while part := client.recv(300_000):
                received.append(part)
                threading.Event().wait(0.002)  # so that much of it waits in the relay when the server is gone
            sender.join()
            assert b"".join(received) == body


def test_what_was_sent_arrives_even_if_the_relay_is_told_to_end():
    reading, writing = os.pipe()
    relay = Relay(lambda: "127.0.0.2")
    port = free_port()

    def work():
        relay.run(reading)
        relay.finish()

    with socket.create_server(("127.0.0.2", 0)) as server:
        inner_port = server.getsockname()[1]
        relay.listen(PortMapping(host_ip="127.0.0.1", host_port=port, container_port=inner_port))
        thread = threading.Thread(target=work)
        thread.start()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            inner, _sender = server.accept()
            inner.setblocking(False)
            body = os.urandom(8_000_000)
            sent = 0
            try:
                while sent < len(body):
                    sent += inner.send(body[sent:])
            except BlockingIOError:
                pass
            inner.close()
            os.close(writing)
            received = b"".join(iter(lambda: client.recv(100_000), b""))
            assert received == body[:sent]
            assert sent > 1_000_000
        thread.join(10)
        assert not thread.is_alive()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=10)
    relay.close()
    os.close(reading)


def test_a_client_is_let_go_where_nobody_listens(relaying):
    port = relaying(free_port())
    for _number in range(20):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            try:
                assert client.recv(1) == b""
            except ConnectionResetError:
                pass


def test_many_connections_one_after_the_other_leave_no_descriptor_open(relaying):
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = relaying(server.getsockname()[1])
        before = len(os.listdir("/proc/self/fd"))
        for number in range(100):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                inner, _sender = server.accept()
                with inner:
                    inner.sendall(b"x")
                    assert client.recv(1) == b"x"
                    if number % 2:
                        # A reset instead of an end.
                        inner.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        for _try in range(200):
            if len(os.listdir("/proc/self/fd")) <= before:
                break
            threading.Event().wait(0.02)
        assert len(os.listdir("/proc/self/fd")) <= before


def test_datagrams_come_back_to_whoever_sent_them_from_the_address_they_asked(relaying):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.2", 0))
        server.settimeout(10)
        port = relaying(server.getsockname()[1], "udp", host_ip="")
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _number in range(3)]
        for number, client in enumerate(clients):
            client.settimeout(10)
            client.connect((f"127.0.0.{number + 5}", port))  # only answers from there are taken
            client.send(b"%d" % number)
        for _client in clients:
            data, sender = server.recvfrom(100)
            server.sendto(data + b"!", sender)
        assert [client.recv(100) for client in clients] == [b"0!", b"1!", b"2!"]
        for client in clients:
            client.close()


def test_without_an_address_nothing_leads_to_what_listens_on_the_loopback_only():
    reading, writing = os.pipe()
    relay = Relay(lambda: "")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inner, socket.create_server(("127.0.0.1", 0)) as stream:
        inner.bind(("127.0.0.1", 0))
        inner.settimeout(0.5)
        port = free_port(socket.SOCK_DGRAM)
        made = {"host_ip": "127.0.0.1", "host_port": port}
        relay.listen(PortMapping(**made, container_port=inner.getsockname()[1], protocol="udp"))
        relay.listen(PortMapping(**made, container_port=stream.getsockname()[1], protocol="tcp"))
        running = threading.Thread(target=relay.run, args=(reading,))
        running.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", ("127.0.0.1", port))
            with pytest.raises(TimeoutError):
                inner.recv(10)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            assert client.recv(10) == b""
        os.close(writing)
        running.join(10)
    relay.close()
    os.close(reading)


def test_ports_lead_to_the_first_ipv4_address_of_the_container(tmp_path):
    for network, interface, addresses in (
        ("b", "eth0", ["fd00::2/64"]),
        ("a", "eth2", ["10.0.0.3/24"]),
        ("c", "eth1", ["10.0.0.2/24", "fd00::9/64"]),
    ):
        (tmp_path / network).mkdir()
        write_record(f"{tmp_path}/{network}/one.json", {"interface": interface, "addresses": addresses})
    assert own_address(str(tmp_path), "one") == "10.0.0.2"
    assert own_address(str(tmp_path), "two") == ""
