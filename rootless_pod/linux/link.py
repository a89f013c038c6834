"""Network interfaces: bring one up, and which one leads out (ioctl and /proc; no netlink)."""

from __future__ import annotations

import fcntl

from rootless_pod.frozen import Frozen
from rootless_pod.linux import procfs

# Source: linux/sockios.h, net/if.h.
SIOCSIFFLAGS = 0x8914
SIOCGIFADDR = 0x8915
IFF_UP = 0x1
IFF_RUNNING = 0x40
_NAME_BYTES = 16
_IFREQ_BYTES = 40
_RTF_UP = 0x1


class DefaultRoute(Frozen):
    """The interface the first default route leads through, its IPv4 address and the gateway (None: on the link)."""

    interface: str
    address: str | None
    gateway: str | None


def set_up(name: str) -> None:
    """Bring the interface ``name`` of this thread's network namespace up (raises OSError)."""
    import _socket
    import sys

    flags = (IFF_UP | IFF_RUNNING).to_bytes(2, sys.byteorder)
    request = name.encode().ljust(_NAME_BYTES, b"\0") + flags
    control = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        fcntl.ioctl(control.fileno(), SIOCSIFFLAGS, request.ljust(_IFREQ_BYTES, b"\0"))
    finally:
        control.close()


def address_of(name: str) -> str | None:
    """Return the first IPv4 address of the interface ``name``, or None."""
    import _socket

    request = name.encode().ljust(_IFREQ_BYTES, b"\0")
    control = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        answer = fcntl.ioctl(control.fileno(), SIOCGIFADDR, request)
    except OSError:
        return None
    finally:
        control.close()
    # struct sockaddr_in after the name: family (2), port (2), address (4).
    return _socket.inet_ntoa(answer[_NAME_BYTES + 4 : _NAME_BYTES + 8])


def parse_default_route(table: str) -> tuple[str, str | None] | None:
    """Return interface and gateway of the default route with the lowest metric in a /proc/net/route text.

    Source: proc(5); addresses are hexadecimal in the machine's byte order.
    """
    import sys

    best: tuple[int, str, str | None] | None = None
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[1] != "00000000" or fields[7] != "00000000":
            continue
        if not int(fields[3], 16) & _RTF_UP:
            continue
        metric = int(fields[6])
        gateway = ".".join(str(byte) for byte in int(fields[2], 16).to_bytes(4, sys.byteorder))
        if best is None or metric < best[0]:
            best = (metric, fields[0], None if gateway == "0.0.0.0" else gateway)  # noqa: S104 - "no gateway"
    return None if best is None else (best[1], best[2])


def default_route() -> DefaultRoute | None:
    """Return the way out of this network namespace by IPv4, or None."""
    try:
        found = parse_default_route(procfs.read_text("/proc/net/route"))
    except (OSError, ValueError):
        return None
    if found is None:
        return None
    return DefaultRoute(interface=found[0], address=address_of(found[0]), gateway=found[1])


def default_interfaces() -> tuple[str, ...]:
    """Return the interfaces with a default route, IPv4 and IPv6: what pasta needs at least one of."""
    route = default_route()
    names = [route.interface] if route else []
    try:
        table = procfs.read_text("/proc/net/ipv6_route")
    except OSError:
        table = ""
    for line in table.splitlines():
        fields = line.split()
        # Destination ::/0 through a device other than lo (where the unreachable entry of the kernel sits).
        if len(fields) == 10 and fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":
            names.append(f"{fields[9]}/6")
    return tuple(dict.fromkeys(names))
