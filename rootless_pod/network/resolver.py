"""The process that answers names at the gateways of all named networks of a store.

``python -m rootless_pod.network.resolver --root … --runroot … BOOTID``, with a pipe as descriptor 3 on which it says
``ready``, the shared network namespace as descriptor 4 and the taken lock as descriptor 5, so that there is only one.
It ends when no container has a lease any more; the socket is where ``ensure_resolver`` asks what is served.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys

from rootless_pod import jsontext
from rootless_pod.linux import capabilities, namespaces, process
from rootless_pod.network.answers import LARGEST_SIZE, Forward, decide, failure
from rootless_pod.network.dns import is_local_to_host
from rootless_pod.network.resolv import read_host_resolv
from rootless_pod.network.resolver_start import PLACE
from rootless_pod.network.upstream import ask, read_message
from rootless_pod.network.watched import Watched
from rootless_pod.paths import Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.network.definition import Network

READY_FD, NETNS_FD, LOCK_FD = 3, 4, 5
DNS_PORT = 53
_SERVFAIL = 2
_MOST_FORWARDED = 256
_MOST_CONNECTIONS = 64
_IDLE_SECONDS = 10.0
_SETTLE_SECONDS = 0.02
"""After a change: more come with it, and what asks meanwhile looks by itself."""
_BATCH = 64
_IP_FREEBIND = 15
_IPV6_FREEBIND = 78


def own_namespace() -> str:
    """Return what tells the network namespace of this process from others."""
    return namespace_of("/proc/self/ns/net")


def namespace_of(path: str) -> str:
    """Return what tells the network namespace at ``path`` from others."""
    found = os.stat(path)
    return f"{found.st_dev}:{found.st_ino}"


class Listener:
    """The sockets at one gateway address."""

    def __init__(self, address: str) -> None:
        """Bind both, before the address is there if need be.

        Raises:
            OSError: another program has the port.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.udp = self._bound(family, socket.SOCK_DGRAM, address)
        try:
            self.tcp = self._bound(family, socket.SOCK_STREAM, address)
            self.tcp.listen(_BATCH)
        except OSError:
            self.udp.close()
            raise
        self.server: asyncio.Server | None = None

    @staticmethod
    def _bound(family: socket.AddressFamily, kind: socket.SocketKind, address: str) -> socket.socket:
        found = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if family == socket.AF_INET6:
                found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                found.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            else:
                found.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            if kind == socket.SOCK_STREAM:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((address, DNS_PORT))
        except OSError:
            found.close()
            raise
        return found

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer no more."""
        loop.remove_reader(self.udp)
        self.udp.close()
        if self.server is not None:
            self.server.close()
        self.tcp.close()


class Resolver:
    """Everything that runs in the process, on one event loop."""

    def __init__(self, paths: Paths) -> None:
        """Read what is there; nothing is bound yet."""
        self._watched = Watched(paths)
        self._loop = asyncio.get_running_loop()
        self._listeners: dict[tuple[str, str], Listener] = {}
        self._faults: dict[str, str] = {}
        self._upstream: tuple[str, ...] = ()
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._settling = False
        self._applying = asyncio.Lock()
        self.done = asyncio.Event()

    async def begin(self) -> None:
        """Bind all gateways and follow changes."""
        await self._apply()
        if self._watched.fd >= 0:
            self._loop.add_reader(self._watched.fd, self._changed)

    def _changed(self) -> None:
        if not self._settling:
            self._settling = True
            self._loop.call_later(_SETTLE_SECONDS, self._settle)

    def _settle(self) -> None:
        self._settling = False
        self._watched.refresh()
        self._keep(self._apply())

    def _keep(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _apply(self) -> None:
        """Have a listener at each gateway of the networks that are in use, and none elsewhere.

        One at a time: while one waits for its server to begin, another would find the port taken, by us.
        """
        async with self._applying:
            await self._apply_alone()

    async def _apply_alone(self) -> None:
        networks = self._watched.zone.networks
        wanted = {(name, subnet.gateway) for name, one in networks.items() for subnet in one.subnets if subnet.gateway}
        for key in [one for one in self._listeners if one not in wanted]:
            self._listeners.pop(key).close(self._loop)
        self._faults = {}
        for key in sorted(wanted - set(self._listeners)):
            try:
                self._listeners[key] = await self._listen(*key)
            except OSError as cause:
                self._faults[key[0]] = f"cannot answer at {key[1]} port {DNS_PORT}: {cause.strerror}"
        if not self._watched.has_leases:
            self.done.set()

    async def _listen(self, network: str, address: str) -> Listener:
        found = Listener(address)
        self._loop.add_reader(found.udp, self._datagrams, found.udp, network)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._connection(network, reader, writer)

        found.server = await asyncio.start_server(connected, sock=found.tcp)
        return found

    def _decide(self, wire: bytes, network: str, source: str, *, stream: bool) -> bytes | Forward | None:
        self._watched.refresh()
        return decide(wire, network=network, source=source, zone=self._watched.zone, stream=stream)

    def _datagrams(self, udp: socket.socket, network: str) -> None:
        for _number in range(_BATCH):
            try:
                wire, source = udp.recvfrom(LARGEST_SIZE)
            except OSError:
                return
            found = self._decide(wire, network, source[0], stream=False)
            if isinstance(found, bytes):
                _send(udp, found, source)
            elif found is not None and len(self._tasks) >= _MOST_FORWARDED:
                _send(udp, failure(wire, _SERVFAIL), source)
            elif found is not None:
                self._keep(self._forward(udp, wire, source, found))

    def _servers(self, to: Forward) -> tuple[str, ...]:
        """Return whom to ask: the asker's own servers, else those told us, else the host's as they are now."""
        if to.servers or self._upstream:
            return to.servers or self._upstream
        return tuple(one for one in read_host_resolv().nameservers if not is_local_to_host(one))

    async def _forward(self, udp: socket.socket, wire: bytes, source: Any, to: Forward) -> None:
        answer = await ask(wire, self._servers(to), stream=False)
        _send(udp, answer or failure(wire, _SERVFAIL), source)

    async def _connection(self, network: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the queries of one TCP connection, one after the other, until it ends or says nothing for long."""
        source = writer.get_extra_info("peername")[0]
        self._connections += 1
        try:
            while self._connections <= _MOST_CONNECTIONS:
                async with asyncio.timeout(_IDLE_SECONDS):
                    wire = await read_message(reader)
                found = self._decide(wire, network, source, stream=True)
                if isinstance(found, Forward):
                    answer = await ask(wire, self._servers(found), stream=True)
                    found = answer or failure(wire, _SERVFAIL)
                if found is None:
                    return
                writer.write(len(found).to_bytes(2, "big") + found)
                async with asyncio.timeout(_IDLE_SECONDS):
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections -= 1
            writer.close()

    async def asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer ``ensure_resolver``: whether a network's names are answered now."""
        try:
            async with asyncio.timeout(_IDLE_SECONDS):
                request = jsontext.loads(await reader.readline())
                answer = await self._status(request)
                writer.write(jsontext.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (OSError, TimeoutError, ValueError, KeyError, TypeError, AttributeError):
            pass
        finally:
            writer.close()

    async def _status(self, request: dict[str, Any]) -> dict[str, str]:
        if request["netns"] != own_namespace():
            self.done.set()
        if self.done.is_set():
            return {"state": "ending"}
        if "network" not in request:
            return {"state": "here"}
        self._upstream = tuple(str(one) for one in request["upstream"])
        self._watched.refresh()
        await self._apply()
        network = str(request["network"])
        found: Network | None = self._watched.zone.networks.get(network)
        if network in self._faults:
            return {"state": "fault", "reason": self._faults[network]}
        if found is None or not any(name == network for name, _address in self._listeners):
            return {"state": "fault", "reason": f"nothing in {network} has a name"}
        return {"state": "served"}

    def close(self) -> None:
        """Answer no more."""
        for one in self._listeners.values():
            one.close(self._loop)
        self._listeners.clear()
        self._watched.close()


def _send(udp: socket.socket, answer: bytes, to: Any) -> None:
    """Send a datagram, or lose it as the network may."""
    try:
        udp.sendto(answer, to)
    except OSError:
        pass


async def _serve(paths: Paths, ready_fd: int) -> None:
    directory_fd = os.open(f"{paths.leases}/{PLACE}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    # A socket's path has 107 bytes at most.
    path = f"/proc/self/fd/{directory_fd}/socket"
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    resolver = Resolver(paths)
    server = await asyncio.start_unix_server(resolver.asked, path)
    try:
        await resolver.begin()
        os.write(ready_fd, b"ready\n")
        os.close(ready_fd)
        await resolver.done.wait()
    finally:
        # Before the lock is given back: whoever comes next finds nobody and starts another.
        server.close()
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass  # newer versions of asyncio have done it
        resolver.close()


def main(arguments: list[str]) -> int:
    """Enter the namespace and serve until nobody needs it; the whole life of the process."""
    os.set_inheritable(LOCK_FD, False)  # held until the end
    _root, graphroot, _runroot, runroot, boot_id, store = arguments
    paths = Paths(graphroot=graphroot, runroot=runroot, boot_id=boot_id, store=store)
    os.chdir("/")
    namespaces.setns(NETNS_FD, namespaces.CLONE_NEWNET)
    os.close(NETNS_FD)
    # It reads what containers send: a port below 1024 is all that it may do beyond any program of the user.
    process.keep_capabilities(capabilities.bits_of(("CAP_NET_BIND_SERVICE",)))
    asyncio.run(_serve(paths, READY_FD))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
