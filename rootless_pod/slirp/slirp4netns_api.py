"""Speak to a running slirp4netns through its API socket: one JSON request a connection.

Source: slirp4netns(1), API SOCKET. Version 1.2.0 answers ``list_hostfwd`` without the ``return`` the page shows.
"""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import ProgramFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SOCKET_NAME = "slirp4netns.sock"
_TIMEOUT_SECONDS = 10.0
_LARGEST_REPLY = 1 << 22


class ApiRefused(ProgramFailed):
    """slirp4netns answered with an error."""


def call(socket_path: str, execute: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    """Send one command; return the object it answers with.

    Raises:
        OSError: nobody listens at ``socket_path``.
        ApiRefused: slirp4netns said no.
        ProgramFailed: the reply is not what the protocol allows.
    """
    import _socket

    request: dict[str, Any] = {"execute": execute}
    if arguments is not None:
        request["arguments"] = arguments
    directory, name = os.path.split(socket_path)
    directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            connection.settimeout(_TIMEOUT_SECONDS)
            # A socket's address holds 107 bytes; the directory's descriptor keeps any path below that.
            connection.connect(f"/proc/self/fd/{directory_fd}/{name}")
            connection.sendall(jsontext.dumps(request).encode())
            connection.shutdown(_socket.SHUT_WR)
            reply = _receive(connection)
        finally:
            connection.close()
    finally:
        os.close(directory_fd)
    return parse_reply(reply, execute)


def _receive(connection: Any) -> bytes:
    parts = []
    size = 0
    while size < _LARGEST_REPLY and (part := connection.recv(65536)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def parse_reply(reply: bytes, execute: str) -> dict[str, Any]:
    """Return the content of a reply.

    Raises:
        ApiRefused: it is an error.
        ProgramFailed: it is no reply at all.
    """
    try:
        answer = jsontext.loads(reply)
    except ValueError as cause:
        raise ProgramFailed(
            f"slirp4netns answered {execute} with {reply[:200]!r}", remedy="run: rpod doctor"
        ) from cause
    if not isinstance(answer, dict):
        raise ProgramFailed(f"slirp4netns answered {execute} with {reply[:200]!r}", remedy="run: rpod doctor")
    if "error" in answer:
        error = answer["error"]
        words = error.get("desc", error) if isinstance(error, dict) else error
        raise ApiRefused(f"slirp4netns refused {execute}: {words}")
    content = answer.get("return", answer)
    return content if isinstance(content, dict) else {}


def add_hostfwd(
    socket_path: str, *, protocol: str, host_ip: str, host_port: int, guest_ip: str, guest_port: int
) -> int:
    """Forward a host port to the container; return the entry's number (ApiRefused if the port is taken)."""
    answer = call(
        socket_path,
        "add_hostfwd",
        {
            "proto": protocol,
            "host_addr": host_ip or "0.0.0.0",  # noqa: S104 - what -p without an address means
            "host_port": host_port,
            "guest_addr": guest_ip,
            "guest_port": guest_port,
        },
    )
    return int(answer.get("id", 0))


def list_hostfwd(socket_path: str) -> list[dict[str, Any]]:
    """Return the entries: ``id``, ``proto``, ``host_addr``, ``host_port``, ``guest_addr``, ``guest_port``."""
    entries = call(socket_path, "list_hostfwd").get("entries", [])
    return [entry for entry in entries if isinstance(entry, dict)]


def remove_hostfwd(socket_path: str, number: int) -> None:
    """Take a forwarded port back."""
    call(socket_path, "remove_hostfwd", {"id": number})
