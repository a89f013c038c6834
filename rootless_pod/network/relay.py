"""Relay tcp connections and udp datagrams between two network namespaces, in one thread.

Listening sockets stay in the namespace they were made in; those made later are in the one the process has entered.
"""

from __future__ import annotations

import _socket
import errno
import os
import select
import struct
import time

from rootless_pod.errors import RpodError
from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless_pod.slirp.driver import PortMapping

_BUFFER_BYTES = 1 << 18
_BACKLOG = 1024
_ADDRESS_KEPT_SECONDS = 1.0
_UDP_IDLE_SECONDS = 90.0
_FINISH_SECONDS = 10.0
_UDP_CLIENTS = 4096
_ACCEPT_PAUSE_SECONDS = 0.05
_IP_PKTINFO, _IPV6_RECVPKTINFO, _IPV6_PKTINFO = 8, 49, 50
_PKTINFO = struct.Struct("=i4s4s")
_PKTINFO6 = struct.Struct("=16si")
_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT


def own_address(leases_dir: str, container_id: str) -> str:
    """Return the address of a container that its published ports lead to: the first IPv4 one, else the first at all."""
    from rootless_pod.state.record import read_record

    found: list[tuple[str, str]] = []
    for network in os.listdir(leases_dir):
        try:
            lease = read_record(f"{leases_dir}/{network}/{container_id}.json")
        except (RpodError, OSError):
            continue
        found += [(str(lease["interface"]), str(one).partition("/")[0]) for one in lease["addresses"]]
    addresses = [address for _interface, address in sorted(found)]
    return next((one for one in addresses if ":" not in one), addresses[0] if addresses else "")


class _Side:
    """One socket of a relayed connection: ``pending`` is what it still has to be sent."""

    def __init__(self, sock: _socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.pending = b""
        self.ended = False  # it sends nothing more
        self.closing = False  # nothing more will be sent to it than what is pending
        self.interest = 0
        self.peer: _Side = self
        self.connecting = False
        self.deaf = False  # both ways are closed: nothing is asked of it any more


class _Listener(Frozen):
    sock: Any
    mapping: PortMapping


class _Client(Frozen):
    """Who sent datagrams: from where, to which of our addresses (b"": a bound one), through which listener."""

    sender: tuple[Any, ...]
    local: bytes
    listener: int


class Relay:
    """All listeners and connections of one container."""

    def __init__(self, target: Callable[[], str]) -> None:
        """``target`` tells the address to connect to; it is asked again from time to time."""
        self._target = target
        self._address, self._asked_at = "", 0.0
        self._epoll = select.epoll()
        self._listeners: dict[int, _Listener] = {}
        self._sides: dict[int, _Side] = {}
        self._clients: dict[_Client, tuple[_socket.socket, float]] = {}
        self._answers: dict[int, _Client] = {}
        self._swept_at = 0.0
        self._dropped: list[_socket.socket] = []
        self._buffer = bytearray(_BUFFER_BYTES)

    def listen(self, mapping: PortMapping) -> None:
        """Listen on the host's port of ``mapping`` (raises OSError)."""
        family = _socket.AF_INET6 if ":" in mapping.host_ip else _socket.AF_INET
        is_udp = mapping.protocol == "udp"
        kind = _socket.SOCK_DGRAM if is_udp else _socket.SOCK_STREAM
        sock = _socket.socket(family, kind | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
        if family == _socket.AF_INET6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        if is_udp:
            # An answer has to leave from the address that was asked.
            if family == _socket.AF_INET6:
                sock.setsockopt(_socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
            else:
                sock.setsockopt(_socket.IPPROTO_IP, _IP_PKTINFO, 1)
        else:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        sock.bind((mapping.host_ip or "0.0.0.0", mapping.host_port))  # noqa: S104 - what -p without an address means
        if not is_udp:
            sock.listen(_BACKLOG)
        self._listeners[sock.fileno()] = _Listener(sock=sock, mapping=mapping)
        self._epoll.register(sock.fileno(), _READ)

    def run(self, *exit_fds: int) -> None:
        """Relay until the other end of one of ``exit_fds`` is closed; listen no more then."""
        for fd in exit_fds:
            self._epoll.register(fd, 0)
        while True:
            for fd, event in self._epoll.poll(_UDP_IDLE_SECONDS if self._clients else -1):
                if fd in exit_fds:
                    self._stop_listening(exit_fds)
                    return
                self._serve(fd, event)
            # Not before all events are seen: another socket would get the number of a closed one meanwhile.
            while self._dropped:
                self._dropped.pop().close()
            if self._clients and time.monotonic() - self._swept_at > _UDP_IDLE_SECONDS / 4:
                self._sweep_clients()

    def _stop_listening(self, exit_fds: tuple[int, ...]) -> None:
        for fd in exit_fds:
            self._epoll.unregister(fd)
        for fd, listener in self._listeners.items():
            self._epoll.unregister(fd)
            listener.sock.close()
        self._listeners.clear()

    def finish(self) -> None:
        """Deliver what the container has sent: it is ending, and so do its connections."""
        deadline = time.monotonic() + _FINISH_SECONDS
        while self._sides and (left := deadline - time.monotonic()) > 0:
            for fd, event in self._epoll.poll(left):
                if fd in self._sides:
                    self._move(self._sides[fd], event)
            while self._dropped:
                self._dropped.pop().close()

    def close(self) -> None:
        """Close all that is open."""
        for sock in (
            *(listener.sock for listener in self._listeners.values()),
            *(side.sock for side in self._sides.values()),
            *(sock for sock, _used_at in self._clients.values()),
            *self._dropped,
        ):
            sock.close()
        self._epoll.close()

    def _serve(self, fd: int, event: int) -> None:
        listener = self._listeners.get(fd)
        if listener is not None:
            if listener.mapping.protocol == "udp":
                self._receive(fd, listener)
            else:
                self._accept(listener)
        elif fd in self._sides:
            self._move(self._sides[fd], event)
        elif fd in self._answers:
            self._answer(fd)

    def _target_address(self) -> str:
        """Return the container's address (raises OSError where it has none: "" would be its loopback)."""
        now = time.monotonic()
        if not self._address or now - self._asked_at > _ADDRESS_KEPT_SECONDS:
            self._address, self._asked_at = self._target(), now
        if not self._address:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        return self._address

    # --- tcp

    def _accept(self, listener: _Listener) -> None:
        try:
            fd, _sender = listener.sock._accept()  # noqa: SLF001 - what socket.accept calls
        except OSError as cause:
            if cause.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                time.sleep(_ACCEPT_PAUSE_SECONDS)  # the connection waits in the backlog until others end
            return
        client = _Side(_socket.socket(fileno=fd))
        client.sock.setblocking(False)
        try:
            server = _Side(self._connect(listener.mapping.container_port))
        except OSError:
            client.sock.close()
            return
        client.peer, server.peer = server, client
        server.connecting = True
        for side in (client, server):
            side.sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            self._sides[side.fd] = side
            self._epoll.register(side.fd, 0)
        self._watch(server)

    def _connect(self, port: int) -> _socket.socket:
        address = self._target_address()
        family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
        sock = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
        failed = sock.connect_ex((address, port))
        if failed not in (0, errno.EINPROGRESS):
            sock.close()
            raise OSError(failed, os.strerror(failed))
        return sock

    def _watch(self, side: _Side) -> None:
        """Ask for what can be gone on with: reading where the other side takes more, writing where something waits."""
        if side.deaf:
            return
        other = side.peer
        wanted = 0
        if side.connecting or side.pending:
            wanted |= _WRITE
        if not side.ended and not other.pending and not side.connecting and not other.connecting:
            wanted |= _READ
        if wanted != side.interest:
            self._epoll.modify(side.fd, wanted)
            side.interest = wanted

    def _move(self, side: _Side, event: int) -> None:
        try:
            if side.connecting:
                self._connected(side)
            if event & select.EPOLLERR:
                failed = side.sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
                raise OSError(failed, os.strerror(failed))
            if side.pending and event & _WRITE:
                self._send(side)
            if not side.ended and not side.peer.pending and event & (_READ | select.EPOLLHUP):
                self._read(side)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(side)
            return
        if side.closing and side.peer.closing and not side.pending and not side.peer.pending:
            self._drop(side)
            return
        if side.ended and event & select.EPOLLHUP:
            if not side.peer.pending:
                self._drop(side)
                return
            # It is gone, and would say so for ever; what it sent is still on its way to the other.
            self._epoll.unregister(side.fd)
            side.deaf = True
        self._watch(side)
        self._watch(side.peer)

    def _connected(self, side: _Side) -> None:
        failed = side.sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        if failed:
            raise OSError(failed, os.strerror(failed))
        side.connecting = False

    def _read(self, side: _Side) -> None:
        other = side.peer
        size = side.sock.recv_into(self._buffer)
        if size == 0:
            side.ended = True
            self._end(other)
            return
        view = memoryview(self._buffer)[:size]
        try:
            sent = other.sock.send(view)
        except BlockingIOError:
            sent = 0
        if sent < size:
            other.pending = bytes(view[sent:])

    def _send(self, side: _Side) -> None:
        sent = side.sock.send(side.pending)
        side.pending = side.pending[sent:]
        if side.closing and not side.pending:
            side.sock.shutdown(_socket.SHUT_WR)

    def _end(self, side: _Side) -> None:
        """Tell a side that the other one is done."""
        side.closing = True
        if not side.pending:
            side.sock.shutdown(_socket.SHUT_WR)

    def _drop(self, side: _Side) -> None:
        for one in (side, side.peer):
            if self._sides.pop(one.fd, None) is not None:
                if not one.deaf:
                    self._epoll.unregister(one.fd)
                self._dropped.append(one.sock)

    # --- udp

    def _receive(self, fd: int, listener: _Listener) -> None:
        try:
            data, extra, _flags, sender = listener.sock.recvmsg(65535, 128)
        except OSError:
            return
        client = _Client(sender=sender, local=_local_address(extra), listener=fd)
        known = self._clients.get(client)
        try:
            sock = known[0] if known else self._connect_client(client, listener.mapping.container_port)
            self._clients[client] = (sock, time.monotonic())
            sock.send(data)
        except OSError:
            return  # a datagram may get lost

    def _connect_client(self, client: _Client, port: int) -> _socket.socket:
        if len(self._clients) >= _UDP_CLIENTS:
            oldest = min(self._clients, key=lambda one: self._clients[one][1])
            self._forget(oldest)
        address = self._target_address()
        family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
        sock = _socket.socket(family, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
        try:
            sock.connect((address, port))
        except OSError:
            sock.close()
            raise
        self._answers[sock.fileno()] = client
        self._epoll.register(sock.fileno(), _READ)
        return sock

    def _answer(self, fd: int) -> None:
        client = self._answers[fd]
        sock = self._clients[client][0]
        try:
            data = sock.recv(65535)
            extra = _from_address(client.local)
            self._listeners[client.listener].sock.sendmsg([data], extra, 0, client.sender)
        except OSError:
            return
        self._clients[client] = (sock, time.monotonic())

    def _forget(self, client: _Client) -> None:
        sock, _used_at = self._clients.pop(client)
        del self._answers[sock.fileno()]
        self._epoll.unregister(sock.fileno())
        self._dropped.append(sock)

    def _sweep_clients(self) -> None:
        self._swept_at = time.monotonic()
        for client, (_sock, used_at) in list(self._clients.items()):
            if self._swept_at - used_at > _UDP_IDLE_SECONDS:
                self._forget(client)


def _local_address(extra: list[tuple[int, int, bytes]]) -> bytes:
    """Return the address of ours that a datagram was sent to."""
    for level, kind, data in extra:
        if level == _socket.IPPROTO_IP and kind == _IP_PKTINFO:
            return _PKTINFO.unpack_from(data)[1]  # type: ignore[no-any-return]
        if level == _socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            return _PKTINFO6.unpack_from(data)[0]  # type: ignore[no-any-return]
    return b""


def _from_address(local: bytes) -> list[tuple[int, int, bytes]]:
    """Return what makes a datagram leave from an address of ours."""
    if len(local) == 4:
        return [(_socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO.pack(0, local, bytes(4)))]
    if len(local) == 16:
        return [(_socket.IPPROTO_IPV6, _IPV6_PKTINFO, _PKTINFO6.pack(local, 0))]
    return []
