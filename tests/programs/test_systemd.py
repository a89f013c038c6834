"""Talking to the user's systemd: the bytes on the wire, against a double that listens on a socket as systemd does."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rootless_pod.errors import HostUnready
from rootless_pod.programs import systemd
from rootless_pod.programs.systemd import UserManager, socket_path

JOB = "/org/freedesktop/systemd1/job/7"
UNIT = "/org/freedesktop/systemd1/unit/x_2escope"


def string(text: str) -> bytes:
    return len(text).to_bytes(4, "little") + text.encode() + b"\0"


def reply(kind: int, serial: int, signature: str, body: bytes, *, member: str = "") -> bytes:
    """One message as systemd sends it, built by the specification and not by the code under test."""
    fields = b"\5\1u\0" + serial.to_bytes(4, "little") if serial else b"\1\1o\0" + string("/x")
    for number, sort, text in ((3, "s", member), (8, "g", signature)):
        if text:
            fields += bytes(-len(fields) % 8) + bytes((number, 1)) + sort.encode() + b"\0"
            fields += string(text) if sort == "s" else bytes((len(text),)) + text.encode() + b"\0"
    start = b"l" + bytes((kind, 1, 1)) + b"".join(n.to_bytes(4, "little") for n in (len(body), 99, len(fields)))
    return start + fields + bytes(-len(fields) % 8) + body


def removed(job: str, result: str) -> bytes:
    body = (7).to_bytes(4, "little") + string(job)
    for text in ("x.scope", result):
        body += bytes(-len(body) % 4) + string(text)
    return reply(4, 0, "uoss", body, member="JobRemoved")


class Manager:
    """Answers each call with the next of ``answers``; keeps what it was sent."""

    def __init__(self, path: Path, answers: list[bytes], greeting: bytes = b"DATA\r\nOK 0123\r\n") -> None:
        self.heard = b""
        self._answers, self._greeting = answers, greeting
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        peer, _ = self._listener.accept()
        with peer:
            while b"BEGIN\r\n" not in self.heard:
                self.heard += peer.recv(4096)
            peer.sendall(self._greeting)
            for answer in self._answers:
                self.heard += peer.recv(4096)
                for at in range(0, len(answer), 11):  # in pieces, as a socket may deliver them
                    peer.sendall(answer[at : at + 11])

    def close(self) -> None:
        self._thread.join(5)
        self._listener.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Callable[..., tuple[str, Manager]]]:
    made: list[Manager] = []

    def make(*answers: bytes, **how: bytes) -> tuple[str, Manager]:
        path = tmp_path / "private"
        made.append(Manager(path, list(answers), **how))
        return str(path), made[-1]

    yield make
    for one in made:
        one.close()


def test_a_scope_is_there_when_its_job_is_done(manager):
    other, own = removed("/another/job", "failed"), removed(JOB, "done")
    path, peer = manager(other + reply(2, 1, "o", string(JOB)) + other + own)
    with UserManager(path) as systemd_of_user:
        systemd_of_user.start_scope("x.scope", "a test", 4321)
    assert peer.heard.startswith(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"), "no user id is claimed"
    for word in (b"StartTransientUnit\0", b"ssa(sv)a(sa(sv))\0", b"x.scope\0", b"Delegate\0\1b\0"):
        assert word in peer.heard
    assert b"PIDs\0\2au\0" in peer.heard
    assert (4321).to_bytes(4, "little") in peer.heard


def test_the_arguments_are_aligned_as_dbus_wants_them():
    body = systemd.scope_body("x.scope", "d", 4321)
    assert body[:12] == b"\7\0\0\0x.scope\0"
    assert body[12:24] == b"\4\0\0\0fail\0\0\0\0"
    size = int.from_bytes(body[24:28], "little")
    start = 32  # elements are structures: aligned to 8
    assert body[start : start + 4] == b"\x0b\0\0\0", "Description"
    assert body[start + size - 8 : start + size] == b"\4\0\0\0" + (4321).to_bytes(4, "little")
    assert len(body) % 8 == 0, "the empty array at the end is followed by the padding of its elements"


def test_a_scope_whose_job_fails_is_an_error(manager):
    path, _ = manager(reply(2, 1, "o", string(JOB)) + removed(JOB, "failed"))
    with UserManager(path) as one, pytest.raises(HostUnready, match="could not start the scope x.scope: failed"):
        one.start_scope("x.scope", "a test", 1)


def test_a_refusal_is_told_in_systemds_words(manager):
    path, _ = manager(reply(3, 1, "s", string("Unit x.scope already exists.")))
    with UserManager(path) as one, pytest.raises(HostUnready, match="StartTransientUnit: Unit x.scope already exists"):
        one.start_scope("x.scope", "a test", 1)


@pytest.mark.parametrize("flag", [0, 1])
def test_delegation_of_a_unit_is_read(manager, flag):
    value = b"\1b\0\0" + flag.to_bytes(4, "little")
    path, peer = manager(reply(2, 1, "o", string(UNIT)), reply(2, 2, "v", value))
    with UserManager(path) as one:
        assert one.delegates("x.scope") is bool(flag)
    assert b"org.freedesktop.systemd1.Scope\0" in peer.heard
    assert UNIT.encode() in peer.heard


def test_nobody_listening_is_said(tmp_path):
    with pytest.raises(HostUnready, match="your systemd does not answer: No such file"):
        UserManager(str(tmp_path / "absent"))


def test_a_closed_connection_is_said(manager):
    path, _ = manager(b"")
    with UserManager(path) as one, pytest.raises(HostUnready, match="does not answer"):
        one.start_scope("x.scope", "a test", 1)


def test_another_users_manager_is_said(manager):
    path, _ = manager(greeting=b"REJECTED EXTERNAL\r\n")
    with pytest.raises(HostUnready, match="another user"):
        UserManager(path)


def test_what_is_not_dbus_is_refused(manager):
    path, _ = manager(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with UserManager(path) as one, pytest.raises(HostUnready, match="not D-Bus"):
        one.start_scope("x.scope", "a test", 1)


def test_the_socket_is_in_the_runtime_directory(tmp_path):
    assert socket_path({}) == ""
    assert socket_path({"XDG_RUNTIME_DIR": str(tmp_path)}) == ""
    os.mkdir(tmp_path / "systemd")
    (tmp_path / "systemd/private").touch()
    assert socket_path({"XDG_RUNTIME_DIR": str(tmp_path)}) == f"{tmp_path}/systemd/private"
