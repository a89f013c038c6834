"""The user's own service manager, asked over D-Bus for a cgroup: a scope that is delegated to us.

Spoken on its private socket, so that neither a bus daemon nor ``systemd-run`` is needed; works from inside our user
namespace too, as no user id is claimed: the manager takes it from the socket.
Source: org.freedesktop.systemd1(5), systemd.scope(5), the D-Bus specification 0.41; tried with systemd 252.
"""

from __future__ import annotations

import os

from rootless_pod.errors import HostUnready

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any

TIMEOUT_SECONDS = 10.0
_MANAGER = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_NAME = "org.freedesktop.systemd1"
_CALL, _ANSWER, _ERROR, _SIGNAL = 1, 2, 3, 4
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_TO, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8
_FIXED_HEADER = 16
_LONGEST = 1 << 20


def socket_path(environ: dict[str, str] | None = None) -> str:
    """Return where the user's manager listens, or "" if none runs for this session."""
    directory = (os.environ if environ is None else environ).get("XDG_RUNTIME_DIR")
    path = f"{directory}/systemd/private" if directory else ""
    return path if path and os.path.exists(path) else ""


class UserManager:
    """A connection to the user's systemd. A context manager; nothing is kept by the other side when it closes."""

    def __init__(self, path: str) -> None:
        """Connect and authenticate.

        Raises:
            HostUnready: nobody answers there.
        """
        import _socket

        self._serial = 0
        self._bytes = b""
        self._socket: _socket.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            self._socket.settimeout(TIMEOUT_SECONDS)
            self._socket.connect(path)
            self._send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")
            while not self._line().startswith("OK "):
                pass
        except OSError as cause:
            self.close()
            raise _silent(cause) from cause
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hang up; idempotent."""
        self._socket.close()

    def __enter__(self) -> UserManager:
        """Return the connection itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Hang up."""
        self.close()

    def delegates(self, unit: str) -> bool:
        """Tell whether the sub-tree of the unit's cgroup is left to those who run in it (``Delegate=``).

        Raises:
            HostUnready: there is no such unit, or no answer.
        """
        kind = unit.rpartition(".")[2].capitalize()
        path = self._call(*_MANAGER, "GetUnit", "s", _string(unit))[0]
        body = pad(_string(f"{_NAME}.{kind}"), 4) + _string("Delegate")
        return bool(self._call(path, "org.freedesktop.DBus.Properties", "Get", "ss", body)[0])

    def start_scope(self, name: str, description: str, pid: int) -> None:
        """Move the process ``pid`` into a new delegated scope and return when it is there.

        Raises:
            HostUnready: the manager refuses, or gives no answer.
        """
        job = self._call(*_MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", scope_body(name, description, pid))[0]
        while True:
            kind, fields, values = self._receive()
            if kind == _SIGNAL and fields.get(_MEMBER) == "JobRemoved" and values[1] == job:
                if values[3] != "done":
                    raise HostUnready(
                        f"systemd could not start the scope {name}: {values[3]}",
                        remedy=f"read why: journalctl --user -u {name}",
                    )
                return

    def _call(self, path: str, interface: str, member: str, signature: str, body: bytes) -> list[Any]:
        self._serial += 1
        self._send(message(self._serial, path, interface, member, signature, body))
        while True:
            kind, fields, values = self._receive()
            if fields.get(_REPLY_TO) != self._serial:
                continue
            if kind == _ANSWER:
                return values
            if kind == _ERROR:
                words = values[0] if values else fields.get(_ERROR_NAME)
                raise HostUnready(f"systemd refuses {member}: {words}", remedy="run: systemctl --user status")

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as cause:
            raise _silent(cause) from cause

    def _more(self) -> None:
        try:
            data = self._socket.recv(65536)
        except OSError as cause:
            raise _silent(cause) from cause
        if not data:
            raise _silent(OSError(0, "the connection was closed"))
        self._bytes += data

    def _line(self) -> str:
        while b"\r\n" not in self._bytes:
            self._more()
        line, _, self._bytes = self._bytes.partition(b"\r\n")
        if line.startswith(b"REJECTED"):
            raise HostUnready("your systemd takes this process for another user's", remedy="run: rpod doctor")
        return line.decode(errors="replace")

    def _receive(self) -> tuple[int, dict[int, Any], list[Any]]:
        """Return the next message: its type, its header fields by number, the values of its body."""
        while len(self._bytes) < _FIXED_HEADER or len(self._bytes) < length_of(self._bytes):
            self._more()
        size = length_of(self._bytes)
        one, self._bytes = self._bytes[:size], self._bytes[size:]
        return parse(one)


def _silent(cause: OSError) -> HostUnready:
    return HostUnready(
        f"your systemd does not answer: {cause.strerror or cause}", remedy="run: systemctl --user status"
    )


# -- the wire format, little-endian both ways


def pad(data: bytes, boundary: int) -> bytes:
    """Return ``data`` with zeros up to a multiple of ``boundary``."""
    return data + bytes(-len(data) % boundary)


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def _string(text: str) -> bytes:
    data = text.encode()
    return _u32(len(data)) + data + b"\0"


def _signature(text: str) -> bytes:
    return bytes((len(text),)) + text.encode() + b"\0"


def message(serial: int, path: str, interface: str, member: str, signature: str, body: bytes) -> bytes:
    """Return a method call; ``body`` is marshalled as ``signature`` says."""
    fields = b""
    for number, kind, text in (
        (_PATH, "o", path),
        (_DESTINATION, "s", _NAME),
        (_INTERFACE, "s", interface),
        (_MEMBER, "s", member),
    ):
        fields = pad(fields, 8) + bytes((number,)) + _signature(kind) + _string(text)
    fields = pad(fields, 8) + bytes((_SIGNATURE,)) + _signature("g") + _signature(signature)
    start = b"l" + bytes((_CALL, 0, 1)) + _u32(len(body)) + _u32(serial) + _u32(len(fields))
    return pad(start + fields, 8) + body


def scope_body(name: str, description: str, pid: int) -> bytes:
    """Return the arguments of ``StartTransientUnit`` for a delegated scope of one process, gone when it is empty."""
    properties = b""
    for key, kind, value in (
        ("Description", "s", _string(description)),
        ("Delegate", "b", _u32(1)),
        ("CollectMode", "s", _string("inactive-or-failed")),
        ("PIDs", "au", _u32(4) + _u32(pid)),
    ):
        properties = pad(properties, 8) + _string(key) + _signature(kind)
        properties = pad(properties, 4) + value
    body = pad(_string(name), 4) + _string("fail")
    body = pad(pad(body, 4) + _u32(len(properties)), 8) + properties
    return pad(pad(body, 4) + _u32(0), 8)  # no further units: an empty array, aligned as its elements would be


def length_of(data: bytes) -> int:
    """Return how many bytes the message at the start of ``data`` has.

    Raises:
        HostUnready: this is no message of ours to read.
    """
    body, fields = (int.from_bytes(data[at : at + 4], "little") for at in (4, 12))
    size = _FIXED_HEADER + fields + (-fields % 8) + body
    if data[:1] != b"l" or size > _LONGEST:
        raise HostUnready("your systemd answers in a form that is not D-Bus", remedy="run: systemctl --user status")
    return size


def parse(data: bytes) -> tuple[int, dict[int, Any], list[Any]]:
    """Take a whole message apart; values after the first one of a kind not used here are left out."""
    end = _FIXED_HEADER + int.from_bytes(data[12:16], "little")
    fields: dict[int, Any] = {}
    at = _FIXED_HEADER
    while at < end:
        at += -at % 8
        fields[data[at]], at = _variant(data, at + 1)
    body = data[end + (-end % 8) :]
    return data[1], fields, _values(body, fields.get(_SIGNATURE, ""))


def _values(body: bytes, signature: str) -> list[Any]:
    values: list[Any] = []
    at = 0
    for kind in signature:
        if kind not in "sogubv":
            break
        value, at = _variant(body, at) if kind == "v" else _value(body, at, kind)
        values.append(value)
    return values


def _variant(data: bytes, at: int) -> tuple[Any, int]:
    kind, at = _value(data, at, "g")
    return _value(data, at, kind) if kind in set("sogub") else (None, len(data))


def _value(data: bytes, at: int, kind: str) -> tuple[Any, int]:
    if kind == "g":
        size, at = data[at], at + 1
    else:
        at += -at % 4
        number = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if kind in "ub":
            return number, at
        size = number
    return data[at : at + size].decode(errors="replace"), at + size + 1
