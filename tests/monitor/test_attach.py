"""The stream against a socket pair that plays conmon."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from rootless_pod.errors import Conflict
from rootless_pod.monitor import attach
from rootless_pod.monitor.attach import Attachment, connect, resize, stream


@pytest.fixture
def pair():
    """(attachment, conmon's end)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    attachment = Attachment(ours.detach(), "/nonexistent")
    yield attachment, theirs
    attachment.close()
    theirs.close()


def gather(attachment, stdin=None, **options):
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    outcome = stream(attachment, stdin=stdin, stdout=out_write, stderr=err_write, **options)
    os.close(out_write)
    os.close(err_write)
    with open(out_read, "rb") as out, open(err_read, "rb") as err:
        return outcome, out.read(), err.read()


def test_packets_go_where_their_first_byte_says(pair):
    attachment, conmon = pair
    for packet in (b"\x02out ", b"\x03err", b"\x02more", b"\x02", b"\x09unknown"):
        conmon.send(packet)
    conmon.close()
    assert gather(attachment) == (attach.EXITED, b"out more", b"err")


def test_the_largest_packet_is_whole(pair):
    attachment, conmon = pair
    conmon.send(b"\x02" + b"x" * 32768)
    conmon.close()
    assert len(gather(attachment)[1]) == 32768


def test_input_is_sent_and_its_end_shuts_the_socket(pair):
    attachment, conmon = pair
    read_fd, write_fd = os.pipe()
    os.write(write_fd, b"typed")
    os.close(write_fd)
    got = []

    def play():
        while data := conmon.recv(65536):
            got.append(data)
        conmon.send(b"\x02done")
        conmon.close()

    thread = threading.Thread(target=play)
    thread.start()
    assert gather(attachment, stdin=read_fd) == (attach.EXITED, b"done", b"")
    thread.join()
    assert got == [b"typed"]
    os.close(read_fd)


def test_no_packet_is_larger_than_conmon_reads(pair, tmp_path):
    attachment, conmon = pair
    path = tmp_path / "input"
    path.write_bytes(os.urandom(300_000))
    sizes = []

    def play():
        while data := conmon.recv(1 << 20):
            sizes.append(len(data))
        conmon.close()

    thread = threading.Thread(target=play)
    thread.start()
    with path.open("rb") as file:
        gather(attachment, stdin=file.fileno())
    thread.join()
    assert sum(sizes) == 300_000
    assert max(sizes) <= 32 * 1024


def test_a_monitor_that_stops_reading_input_does_not_stop_the_output(pair):
    attachment, conmon = pair
    read_fd, write_fd = os.pipe()
    feeder = threading.Thread(target=lambda: [os.write(write_fd, b"z" * 65536) for _ in range(3)], daemon=True)
    feeder.start()
    threading.Timer(0.3, lambda: (conmon.send(b"\x02still here"), conmon.close())).start()
    assert gather(attachment, stdin=read_fd)[:2] == (attach.EXITED, b"still here")
    while feeder.is_alive():
        os.read(read_fd, 65536)
    feeder.join()
    os.close(read_fd)
    os.close(write_fd)


def test_closed_stdin_is_the_end_of_input(pair):
    attachment, conmon = pair
    threading.Thread(target=lambda: (conmon.recv(10), conmon.send(b"\x02bye"), conmon.close())).start()
    assert gather(attachment, stdin=999)[1] == b"bye"


def test_connecting_to_nothing_is_a_conflict_and_leaks_nothing(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for bundle in (str(tmp_path), str(tmp_path / ("x" * 120)), str(tmp_path / "missing")):
        with pytest.raises(Conflict, match="not running"):
            connect(bundle)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_deep_socket_is_reached(tmp_path):
    bundle = tmp_path / ("d" * 100) / ("e" * 100)
    bundle.mkdir(parents=True)
    directory = os.open(bundle, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(f"/proc/self/fd/{directory}/attach")
        server.listen()
        with connect(str(bundle)) as attachment:
            assert attachment.fd >= 0
        assert attachment.fd == -1
    os.close(directory)


def test_a_resize_is_one_line_and_needs_a_reader(tmp_path):
    assert not resize(str(tmp_path), 24, 80)
    os.mkfifo(tmp_path / "ctl")
    assert not resize(str(tmp_path), 24, 80)
    reader = os.open(tmp_path / "ctl", os.O_RDONLY | os.O_NONBLOCK)
    assert resize(str(tmp_path), 24, 80)
    assert os.read(reader, 100) == b"1 24 80\n"
    os.close(reader)
