"""Containers' networks for real: namespaces, helpers, ports, and what is left afterwards."""

from __future__ import annotations

import os
import select
import signal
import socket

import pytest

from rootless_pod.errors import Conflict, HostUnready, NotFound, ProgramFailed, Refused, Usage
from rootless_pod.linux import link, namespaces, procfs
from rootless_pod.linux.netns import is_netns
from rootless_pod.network.attach import attach, begin, detach, helper_alive
from rootless_pod.network.netns import make_netns, remove_netns
from rootless_pod.network.status import NetworkStatus
from rootless_pod.programs.find import find_program
from rootless_pod.slirp import slirp4netns_api as api
from rootless_pod.slirp.choose import choose_network, forget


def inside(netns_path, function):
    """Run ``function`` in a child inside the namespace; return its pid once it wrote to the pipe it is given."""
    ready_read, ready = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(ready_read)
            fd = os.open(netns_path, os.O_RDONLY)
            namespaces.setns(fd, namespaces.CLONE_NEWNET)
            signal.alarm(30)
            function(ready)
            os._exit(0)
        except BaseException as cause:
            os.write(2, f"inside: {cause!r}\n".encode())
            os._exit(1)
    os.close(ready)
    os.read(ready_read, 1)
    os.close(ready_read)
    return pid


def result_of(netns_path, function):
    """Return what ``function`` returns (a text) inside the namespace."""
    answer_read, answer = os.pipe()

    def work(_ready):
        os.write(answer, function().encode())

    pid = inside(netns_path, work)
    os.close(answer)
    with open(answer_read) as file:
        text = file.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return text


def echo_server(port, udp_port=80):
    """Answer tcp connections at ``port`` and datagrams at ``udp_port`` with what they say, in capitals."""

    def serve(ready):
        tcp = socket.create_server(("0.0.0.0", port))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", udp_port))
        os.write(ready, b"1")
        while True:
            for found in select.select([tcp, udp], [], [])[0]:
                if found is tcp:
                    connection, _peer = tcp.accept()
                    connection.sendall(connection.recv(100).upper())
                    connection.close()
                else:
                    said, peer = udp.recvfrom(100)
                    udp.sendto(said.upper(), peer)

    return serve


def ask_tcp(address, port):
    with socket.create_connection((address, port), timeout=10) as connection:
        connection.sendall(b"hello")
        return connection.recv(100)


def ask_udp(address, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(10)
        datagrams.sendto(b"hello", (address, port))
        return datagrams.recv(100)


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def wait_death(pid):
    """Reap a helper that is about to die; fail after ten seconds."""
    pidfd = os.pidfd_open(pid)
    try:
        assert select.select([pidfd], [], [], 10)[0], f"process {pid} still lives"
    finally:
        os.close(pidfd)
    os.waitpid(pid, 0)


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


@pytest.mark.kernel
def test_published_ports_reach_the_container_by_tcp_and_udp(places, program, wanted, id_mode):
    port, inner = free_port(), free_port(socket.SOCK_DGRAM)
    mode = "slirp4netns:allow_host_loopback=true" if program == "slirp4netns" else program
    status, attachment = attach(
        wanted(mode, publish=[f"127.0.0.1:{port}:80", f"127.0.0.1:{inner}:{inner}/udp"]), **places.arguments()
    )
    server = inside(status.netns_path, echo_server(80, inner))
    try:
        assert ask_tcp("127.0.0.1", port) == b"HELLO"
        assert ask_udp("127.0.0.1", inner) == b"HELLO"
    finally:
        end(server)
        attachment.close()
        detach(status)


@pytest.mark.kernel
def test_slirp4netns_translates_udp_ports(places, wanted):
    port = free_port(socket.SOCK_DGRAM)
    request = wanted("slirp4netns:allow_host_loopback=true", publish=[f"127.0.0.1:{port}:80/udp"])
    status, attachment = attach(request, **places.arguments())
    server = inside(status.netns_path, echo_server(80))
    assert ask_udp("127.0.0.1", port) == b"HELLO"
    end(server)
    attachment.abort()


@pytest.mark.kernel
def test_pasta_translates_udp_ports_or_says_that_it_cannot(places, wanted):
    port = free_port(socket.SOCK_DGRAM)
    request = wanted("pasta", publish=[f"127.0.0.1:{port}:80/udp"])
    try:
        status, attachment = attach(request, **places.arguments())
    except Refused as cause:
        assert "-p 80:80/udp" in cause.remedy  # noqa: PT017 - both outcomes are right
        # The choice being ours, another program takes over.
        status, attachment = attach(wanted("", publish=[f"{port}:80/udp"]), **places.arguments())
        assert status.mode == "slirp4netns"
        assert "pasta can't" in status.reason
    else:
        server = inside(status.netns_path, echo_server(80))
        assert ask_udp("127.0.0.1", port) == b"HELLO"
        end(server)
    attachment.abort()


@pytest.mark.kernel
@pytest.mark.parametrize("mode", ["slirp4netns:allow_host_loopback=true", "pasta:--map-gw"])
def test_the_container_reaches_the_hosts_loopback_through_the_gateway_only_when_allowed(places, wanted, mode):
    program = mode.partition(":")[0]
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def call(gateway):
        def work():
            try:
                with socket.create_connection((gateway, port), timeout=3) as connection:
                    connection.sendall(b"from inside")
                return "connected"  # noqa: TRY300
            except OSError as cause:
                return f"refused {cause}"

        return work

    allowed, attachment = attach(wanted(mode), **places.arguments("allowed"))
    assert allowed.host_address == allowed.gateway
    assert result_of(allowed.netns_path, call(allowed.gateway)) == "connected"
    connection, _peer = listener.accept()
    assert connection.recv(100) == b"from inside"
    attachment.close()
    detach(allowed)
    if program == "slirp4netns":
        # pasta would hand the packets to the real gateway: nothing may leave this machine in a test.
        closed, attachment = attach(wanted(program), **places.arguments("closed"))
        assert result_of(closed.netns_path, call(closed.gateway)).startswith("refused")
        attachment.close()
        detach(closed)


@pytest.mark.kernel
def test_the_interface_has_the_address_told_and_the_large_mtu(places, program, wanted, id_mode):
    status, attachment = attach(wanted(program), **places.arguments())

    def look():
        route = link.default_route()
        with open("/proc/self/net/dev") as devices:
            names = [line.split(":")[0].strip() for line in devices if ":" in line]
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            answer = fcntl.ioctl(control, 0x8921, route.interface.encode().ljust(40, b"\0"))  # SIOCGIFMTU
        mtu = int.from_bytes(answer[16:20], "little")
        return f"{route.address} {route.gateway} {mtu} {'lo' in names}"

    assert result_of(status.netns_path, look) == f"{status.ip} {status.gateway} 65520 True"
    attachment.close()
    detach(status)


@pytest.mark.kernel
def test_the_helper_ends_when_the_last_copy_of_keep_fd_is_closed(places, program, wanted, id_mode):
    status, attachment = attach(wanted(program), **places.arguments())
    copy = os.dup(attachment.keep_fd)
    attachment.close()
    assert helper_alive(status)
    os.close(copy)
    wait_death(status.helper_pid)
    assert not helper_alive(status)
    detach(status)


@pytest.mark.kernel
def test_keep_fd_is_closed_in_every_program_that_is_not_given_it(places, program, wanted):
    attachment = begin(wanted(program), **places.arguments())
    assert not os.get_inheritable(attachment.keep_fd)
    attachment.wait_ready()
    attachment.abort()


@pytest.mark.kernel
def test_pasta_ends_when_the_namespace_file_goes_without_being_killed(places, wanted):
    status, attachment = attach(wanted("pasta"), **places.arguments())
    assert attachment.keep_fd >= 0, "its other end is not what ends it here"
    detach(status.replace(helper_pid=None))
    wait_death(status.helper_pid)
    attachment.close()


@pytest.mark.kernel
def test_detach_leaves_nothing_and_may_be_repeated(places, program, wanted, id_mode):
    status, attachment = attach(wanted(program, publish=["127.0.0.1::80"]), **places.arguments())
    attachment.close()
    before = [point for point, _kind, _source in procfs.mount_points()]
    assert status.netns_path in before
    for _ in range(3):
        detach(status)
    assert not os.path.exists(status.netns_path)
    assert status.netns_path not in [point for point, _kind, _source in procfs.mount_points()]
    assert [name for name in os.listdir(places.bundle()) if name.endswith(".sock")] == []
    wait_death(status.helper_pid)


@pytest.mark.kernel
def test_detach_never_kills_a_process_that_got_the_helpers_pid_later(places, wanted):
    innocent = os.fork()
    if not innocent:
        signal.pause()
        os._exit(0)
    status = NetworkStatus(
        mode="pasta", helper="pasta", helper_pid=innocent, helper_started=procfs.start_time(innocent) + 1
    )
    detach(status)
    assert procfs.start_time(innocent) is not None
    end(innocent)


@pytest.mark.kernel
def test_detach_works_from_a_record_in_another_process(places, program, wanted):
    status, attachment = attach(wanted(program, publish=["127.0.0.1::80"]), **places.arguments())
    attachment.close()
    record = status.to_json()
    other = os.fork()
    if not other:
        detach(NetworkStatus.from_json(record))
        os._exit(0)
    assert os.waitpid(other, 0)[1] == 0
    wait_death(status.helper_pid)
    assert not os.path.exists(status.netns_path)


@pytest.mark.kernel
def test_two_containers_publish_the_same_container_port_at_two_host_ports(places, program, wanted):
    first = begin(wanted(program, publish=["127.0.0.1::80"]), **places.arguments("first"))
    second = begin(wanted(program, publish=["127.0.0.1::80"]), **places.arguments("second"))
    statuses = [first.wait_ready(), second.wait_ready()]
    servers = [inside(status.netns_path, echo_server(80)) for status in statuses]
    ports = [status.ports[0].host_port for status in statuses]
    assert ports[0] != ports[1]
    for port in ports:
        assert ask_tcp("127.0.0.1", port) == b"HELLO"
    for server in servers:
        end(server)
    for attachment in (first, second):
        attachment.abort()


@pytest.mark.kernel
def test_a_port_of_a_running_container_is_a_conflict_with_the_next_free_one(places, program, wanted):
    port = free_port()
    first, attachment = attach(wanted(program, publish=[f"127.0.0.1:{port}:80"]), **places.arguments("first"))
    with pytest.raises(Conflict) as caught:
        begin(wanted(program, publish=[f"127.0.0.1:{port}:80"]), **places.arguments("second"))
    assert f"{port}/tcp is already in use" in caught.value.message
    remedied = int(caught.value.remedy.rpartition("-p 127.0.0.1:")[2].partition(":")[0])
    assert remedied > port
    assert os.listdir(f"{places.root}/netns") == ["first"], "nothing is made for a refused request"
    attachment.abort()
    assert first.ports[0].host_port == port


@pytest.mark.kernel
def test_a_port_taken_between_check_and_start_is_a_conflict_and_undone(places, wanted):
    port = free_port()
    attachment = begin(wanted("slirp4netns", publish=[f"127.0.0.1:{port}:80"]), **places.arguments())
    with socket.create_server(("127.0.0.1", port)), pytest.raises(Conflict, match=f"host port {port}/tcp was taken"):
        attachment.wait_ready()
    assert os.listdir(f"{places.root}/netns") == []
    wait_death(attachment.status.helper_pid)


@pytest.mark.kernel
def test_a_helper_killed_before_it_is_ready_is_told_and_nothing_is_left(places, program, wanted):
    attachment = begin(wanted(program), **places.arguments())
    os.kill(attachment.status.helper_pid, signal.SIGKILL)
    with pytest.raises(ProgramFailed, match=f"{program} failed: .*ran: "):
        attachment.wait_ready()
    assert os.listdir(f"{places.root}/netns") == []
    assert attachment.keep_fd == -1


@pytest.mark.kernel
def test_a_helper_killed_later_is_noticed(places, program, wanted):
    status, attachment = attach(wanted(program), **places.arguments())
    assert helper_alive(status)
    os.kill(status.helper_pid, signal.SIGKILL)
    wait_death(status.helper_pid)
    assert not helper_alive(status)
    attachment.close()
    detach(status)


@pytest.mark.kernel
def test_the_words_of_a_helper_that_fails_reach_the_user(places, wanted):
    attachment = begin(wanted("pasta:--interface,nosuchif0"), **places.arguments())
    with pytest.raises(ProgramFailed) as caught:
        attachment.wait_ready()
    assert "nosuchif0" in caught.value.message
    assert "syslog" not in caught.value.message
    assert caught.value.remedy


@pytest.mark.kernel
def test_the_api_lists_and_removes_published_ports_below_a_path_longer_than_a_socket_address(places, wanted):
    port = free_port()
    status, attachment = attach(wanted("slirp4netns", publish=[f"127.0.0.1:{port}:80"]), **places.arguments())
    assert len(status.api_socket) > 107
    (entry,) = api.list_hostfwd(status.api_socket)
    assert (entry["host_port"], entry["guest_port"], entry["guest_addr"]) == (port, 80, "10.0.2.100")
    api.remove_hostfwd(status.api_socket, entry["id"])
    assert api.list_hostfwd(status.api_socket) == []
    with pytest.raises(ConnectionRefusedError):
        ask_tcp("127.0.0.1", port)
    with pytest.raises(api.ApiRefused):
        api.remove_hostfwd(status.api_socket, 99)
    attachment.abort()


@pytest.mark.kernel
def test_slirp4netns_takes_another_network_and_mac(places, wanted):
    request = wanted("slirp4netns:cidr=10.41.0.0/24,mtu=1400,enable_ipv6=false", mac_address="02:00:00:00:00:07")
    try:
        status, attachment = attach(request, **places.arguments())
    except HostUnready as cause:
        pytest.fail(cause.message)
    assert (status.ip, status.gateway, status.dns) == ("10.41.0.100", "10.41.0.2", "10.41.0.3")
    assert result_of(status.netns_path, lambda: f"{link.address_of('tap0')}") == "10.41.0.100"
    attachment.abort()


@pytest.mark.kernel
def test_without_a_mode_pasta_is_chosen_and_the_answer_is_kept(places, wanted, id_mode):
    status, attachment = attach(wanted(""), **places.arguments())
    assert status.mode in ("pasta", "slirp4netns")
    assert f"{status.mode} works here" in status.reason
    attachment.abort()
    cached = choose_network(probes_dir=f"{places.root}/probes")
    assert cached.driver.name == status.mode
    assert min(os.listdir(f"{places.root}/probes")) == "network.json", "the probe cleans up"


@pytest.mark.kernel
def test_a_choice_that_fails_is_made_anew(places, wanted):
    arguments = places.arguments("one")
    if choose_network(probes_dir=arguments["probes_dir"]).driver.name != "pasta":
        pytest.skip("pasta is not installed, or does not work here")
    # A stand-in for pasta that works until a file says otherwise: what happens when the host's network changes.
    programs = f"{places.root}/bin"
    os.mkdir(programs)
    real = find_program("pasta")
    with open(f"{programs}/pasta", "w") as file:
        file.write(f'#!/bin/sh\nif [ -e {programs}/broken ]; then echo no way out >&2; exit 1; fi\nexec {real} "$@"\n')
    os.chmod(f"{programs}/pasta", 0o755)
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    assert choose_network(probes_dir=arguments["probes_dir"]).driver.name == "pasta"
    with open(f"{programs}/broken", "w"):
        pass
    attachment = begin(wanted("", publish=["127.0.0.1::80"]), **arguments)
    # The monitor is given its end of the pipe before the network is waited for.
    monitors = os.dup(attachment.keep_fd)
    status = attachment.wait_ready()
    attachment.close()
    assert helper_alive(status)
    assert status.mode == "slirp4netns"
    assert "no way out" in status.reason
    server = inside(status.netns_path, echo_server(80))
    assert ask_tcp("127.0.0.1", status.ports[0].host_port) == b"HELLO"
    end(server)
    os.close(monitors)
    wait_death(status.helper_pid)
    detach(status)
    # A wish for pasta itself is not bent into another.
    with pytest.raises(ProgramFailed, match="no way out"):
        attach(wanted("pasta"), **arguments)
    assert os.listdir(arguments["netns_dir"]) == []


@pytest.mark.kernel
@pytest.mark.parametrize("mode", ["", "pasta"])
def test_a_pasta_that_has_an_accident_is_started_once_more(places, wanted, monkeypatch, mode):
    arguments = places.arguments("one")
    if choose_network(probes_dir=arguments["probes_dir"]).driver.name != "pasta":
        pytest.skip("pasta is not installed, or does not work here")
    accidents = unlucky_pasta(f"{places.root}/bin", monkeypatch)
    os.mkdir(f"{accidents}/1")
    forget(arguments["probes_dir"])
    # The probe has the first one.
    assert choose_network(probes_dir=arguments["probes_dir"]).driver.name == "pasta"
    assert os.listdir(accidents) == []
    os.mkdir(f"{accidents}/1")
    attachment = begin(wanted(mode, publish=["127.0.0.1::80"]), **arguments)
    first = attachment.status.helper_pid
    monitors = os.dup(attachment.keep_fd)
    status = attachment.wait_ready()
    attachment.close()
    assert os.listdir(accidents) == []
    assert (status.mode, helper_alive(status)) == ("pasta", True)
    assert status.helper_pid != first
    server = inside(status.netns_path, echo_server(80))
    assert ask_tcp("127.0.0.1", status.ports[0].host_port) == b"HELLO"
    end(server)
    os.close(monitors)
    wait_death(status.helper_pid)
    detach(status)


@pytest.mark.kernel
def test_a_second_accident_of_pasta_is_told(places, wanted, monkeypatch):
    arguments = places.arguments("one")
    if choose_network(probes_dir=arguments["probes_dir"]).driver.name != "pasta":
        pytest.skip("pasta is not installed, or does not work here")
    accidents = unlucky_pasta(f"{places.root}/bin", monkeypatch)
    for number in range(3):
        os.mkdir(f"{accidents}/{number}")
    with pytest.raises(ProgramFailed, match="Couldn't drop cap 0 from bounding set"):
        attach(wanted("pasta"), **arguments)
    assert len(os.listdir(accidents)) == 1
    assert os.listdir(arguments["netns_dir"]) == []


def unlucky_pasta(programs, monkeypatch):
    """Put a stand-in for pasta first in PATH; return a directory: each entry in it is one accident to come."""
    accidents = f"{programs}/accidents"
    os.makedirs(accidents)
    real = find_program("pasta")
    with open(f"{programs}/pasta", "w") as file:
        file.write(
            "#!/bin/sh\n"
            'case " $* " in *" --netns "*)\n'
            f"    for one in {accidents}/*; do\n"
            '        if rmdir "$one" 2>/dev/null; then\n'
            '            echo "Couldn\'t drop cap 0 from bounding set: No child processes" >&2; exit 1\n'
            "        fi\n"
            "    done\n"
            "esac\n"
            f'exec {real} "$@"\n'
        )
    os.chmod(f"{programs}/pasta", 0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return accidents


@pytest.mark.kernel
def test_without_any_program_the_hosts_network_is_used_and_ports_are_refused(places, wanted):
    os.environ["RPOD_PROGRAM_PATH"] = "/nonexistent"
    status, attachment = attach(wanted(""), **places.arguments())
    assert (status.mode, status.netns_path, attachment.keep_fd) == ("host", None, -1)
    assert "pasta is not installed" in status.reason
    assert "slirp4netns is not installed" in status.reason
    with pytest.raises(HostUnready, match="ports and addresses need"):
        begin(wanted("", publish=["8080:80"]), **places.arguments())
    with pytest.raises(HostUnready, match="program pasta is not installed"):
        begin(wanted("pasta"), **places.arguments())
    assert os.listdir(f"{places.root}/netns") == []


@pytest.mark.kernel
def test_with_none_the_runtime_makes_the_namespace(places, wanted):
    status, attachment = attach(wanted("none"), **places.arguments())
    assert (status.netns_path, status.owned, attachment.keep_fd) == ("", False, -1)
    assert status.of_process(7).netns_path == "/proc/7/ns/net"
    assert os.listdir(f"{places.root}/netns") == []


@pytest.mark.kernel
def test_a_namespace_has_only_its_own_loopback_up(places, id_mode):
    path = make_netns(f"{places.root}/netns", "one")
    assert is_netns(path)

    def look():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            socket.create_connection(listener.getsockname()).close()
        with open("/proc/self/net/dev") as devices:
            return ",".join(line.split(":")[0].strip() for line in devices if ":" in line)

    assert result_of(path, look) == "lo"
    assert len(os.listdir("/proc/self/task")) == 1, "the thread that made the namespace is gone"
    remove_netns(path)
    assert not os.path.exists(path)


@pytest.mark.kernel
def test_a_namespace_left_by_a_killed_run_is_replaced(places):
    path = make_netns(f"{places.root}/netns", "one")
    assert make_netns(f"{places.root}/netns", "one") == path
    remove_netns(path)
    assert path not in [point for point, _kind, _source in procfs.mount_points()]


@pytest.mark.kernel
def test_joining_shares_the_namespace_and_detach_leaves_it(places, wanted):
    path = make_netns(f"{places.root}/netns", "owner")
    for request, join in ((wanted("container:owner"), path), (wanted(f"ns:{path}"), None)):
        joined, _ = attach(request, **places.arguments("guest", join_netns=join))
        assert joined.netns_path == path
        detach(joined)
        assert is_netns(path)
    with pytest.raises(Usage, match="another owner"):
        begin(wanted("container:owner", publish=["80:80"]), **places.arguments("guest", join_netns=path))
    with pytest.raises(NotFound, match="there is no /nonexistent"):
        begin(wanted("ns:/nonexistent"), **places.arguments("guest"))
    with pytest.raises(Usage, match="no network namespace"):
        begin(wanted("ns:/proc/self/ns/mnt"), **places.arguments("guest"))
    with pytest.raises(Usage, match="no network namespace"):
        begin(wanted("ns:/etc/hosts"), **places.arguments("guest"))
    remove_netns(path)


@pytest.mark.kernel
def test_host_mode_drops_published_ports_and_makes_nothing(places, wanted):
    status, _attachment = attach(wanted("host", publish=["8080:80"]), **places.arguments())
    assert (status.netns_path, status.ports, status.helper) == (None, (), None)
    assert os.listdir(f"{places.root}/netns") == []


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("mode", "publish", "more", "error"),
    [
        ("slirp4netns:colour=red", [], {}, Usage),
        ("slirp4netns", ["[::1]:8080:80"], {}, Usage),
        ("slirp4netns", ["8080:80/sctp"], {}, Usage),
        ("slirp4netns", ["127.0.0.1:8080:80/udp"], {}, Usage),
        ("slirp4netns", [], {"ip": "10.0.2.7"}, Usage),
        ("slirp4netns:port_handler=rootlesskit", [], {}, Usage),
        ("pasta:--netns,/x", [], {}, Usage),
        ("pasta", ["203.0.113.9:8080:80"], {}, Usage),
        ("pasta", ["127.0.0.1:8080:80", "8080:81"], {}, Conflict),
        ("none", ["8080:80"], {}, Usage),
        ("none", [], {"ip": "10.0.2.7"}, Usage),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_before_anything_is_made(places, wanted, mode, publish, more, error):
    with pytest.raises(error) as caught:
        begin(wanted(mode, publish=publish, **more), **places.arguments())
    assert caught.value.message[0].islower() or caught.value.message[0] == "-"
    assert os.listdir(f"{places.root}/netns") == []


@pytest.mark.kernel
def test_a_privileged_port_is_refused_with_the_sysctl(places, program, wanted):
    if int(procfs.read_text("/proc/sys/net/ipv4/ip_unprivileged_port_start")) <= 81:
        return
    with pytest.raises(Refused) as caught:
        begin(wanted(program, publish=["81:80"]), **places.arguments())
    assert "sysctl -w net.ipv4.ip_unprivileged_port_start=81" in caught.value.remedy
