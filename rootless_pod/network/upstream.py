"""Ask other name servers what containers ask us: the same bytes over the same protocol, under an id of our own."""

from __future__ import annotations

import asyncio
import os
import socket

from rootless_pod.network.answers import fits

PORT = 53
SECONDS = 4.0
"""How long all servers together may take: stub resolvers ask again after five."""
_LARGEST = 65535


async def ask(query: bytes, servers: tuple[str, ...], *, stream: bool) -> bytes | None:
    """Return the answer of the first server that gives one in its share of the time, with the query's id; else None."""
    mine = os.urandom(2) + query[2:]
    for server in servers:
        try:
            async with asyncio.timeout(SECONDS / len(servers)):
                answer = await (_over_tcp(mine, server) if stream else _over_udp(mine, server))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            continue
        if answer is not None:
            return query[:2] + answer[2:]
    return None


async def _over_udp(query: bytes, server: str) -> bytes | None:
    """Ask from a port of its own; being connected, it hears that server only."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as one:
        one.connect((server, PORT))
        await loop.sock_sendall(one, query)
        while True:
            answer = await loop.sock_recv(one, _LARGEST)
            if fits(answer, query):
                return answer


async def _over_tcp(query: bytes, server: str) -> bytes | None:
    reader, writer = await asyncio.open_connection(server, PORT)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        await writer.drain()
        answer = await read_message(reader)
    finally:
        writer.close()
    return answer if fits(answer, query) else None


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """Return the next message of a TCP connection (raises IncompleteReadError at its end)."""
    size = int.from_bytes(await reader.readexactly(2), "big")
    return await reader.readexactly(size)
