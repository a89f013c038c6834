"""Netlink: requests with attributes, answers and acknowledgements. Source: netlink(7), linux/netlink.h.

Written out because the library for it takes as long to import as a whole container takes to start.
"""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12
NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_AF_NETLINK = 16
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_LARGEST_ANSWER = 1 << 18
_TIMEOUT_SECONDS = 10.0


def attribute(kind: int, value: bytes | int | str) -> bytes:
    """Return one attribute: bytes as they are, a number as u32 of this machine, text with a zero at its end."""
    if isinstance(value, str):
        value = os.fsencode(value) + b"\0"
    elif isinstance(value, int):
        value = struct.pack("=I", value)
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + b"\0" * (-length % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """Return an attribute that holds others."""
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def attributes(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Take (kind, value) apart, flags of the kind dropped; what is cut off ends it."""
    place = 0
    while place + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, place)
        if length < _ATTRIBUTE.size or place + length > len(body):
            return
        yield kind & _NLA_TYPE_MASK, body[place + _ATTRIBUTE.size : place + length]
        place += length + (-length % 4)


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """Return one message."""
    return _HEADER.pack(_HEADER.size + len(body), kind, flags | NLM_F_REQUEST, sequence, 0) + body


class Netlink:
    """A socket to one subsystem of the kernel, in the network namespace of the thread that makes it.

    It stays in that namespace, wherever its thread goes. Use it as a context.
    """

    def __init__(self, subsystem: int) -> None:
        """Open the socket (raises OSError)."""
        import _socket

        self._socket = _socket.socket(_AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, subsystem)
        self._socket.settimeout(_TIMEOUT_SECONDS)
        self._sequence = 0

    def __enter__(self) -> Netlink:
        """Return itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close the socket."""
        self._socket.close()

    def request(self, kind: int, flags: int, body: bytes) -> None:
        """Send one request and wait for its acknowledgement (raises OSError with the kernel's number)."""
        self._sequence += 1
        self._socket.send(message(kind, flags | NLM_F_ACK, self._sequence, body))
        for _answer in self._answers(self._sequence):
            pass

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """Return the body of each object the kernel lists."""
        self._sequence += 1
        self._socket.send(message(kind, NLM_F_DUMP, self._sequence, body))
        return list(self._answers(self._sequence))

    def send_all(self, messages: list[tuple[int, int, bytes]]) -> None:
        """Send messages (kind, flags, body) as one; return when the last but one is acknowledged.

        The first begins the batch and the last ends it: they are not answered, but all of it may be refused by an error
        of the first. Raises OSError with the first error among them.
        """
        parts = []
        first = self._sequence + 1
        for place, (kind, flags, body) in enumerate(messages):
            self._sequence += 1
            last = place == len(messages) - 2
            parts.append(message(kind, flags | (NLM_F_ACK if last else 0), self._sequence, body))
        self._socket.send(b"".join(parts))
        for _answer in self._answers(self._sequence - 1, first):
            pass

    def _answers(self, *ends: int) -> Iterator[bytes]:
        """Return what is answered until the end of one of ``ends``: its acknowledgement, or the end of a dump."""
        failed = 0
        while True:
            data = self._socket.recv(_LARGEST_ANSWER)
            place = 0
            while place + _HEADER.size <= len(data):
                length, kind, _flags, number, _port = _HEADER.unpack_from(data, place)
                body = data[place + _HEADER.size : place + length]
                place += max(length + (-length % 4), _HEADER.size)
                if kind == _NLMSG_ERROR:
                    failed = failed or -struct.unpack_from("=i", body)[0]
                elif kind != _NLMSG_DONE:
                    yield body
                    continue
                if number in ends:
                    if failed:
                        raise OSError(failed, os.strerror(failed))
                    return
