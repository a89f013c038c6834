"""Host ports: free ones are chosen, taken ones are told with the next free one, before anything is started.

Each port is tried by binding it, which is the only answer that counts; the helper binds it again right after.
"""

from __future__ import annotations

import errno

from rootless_pod.errors import Conflict, Refused, RpodError, Usage
from rootless_pod.linux import procfs
from rootless_pod.slirp.driver import PortMapping

_SEARCHED_PORTS = 1000
_HIGHEST_PORT = 65535
_WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
_FIRST_UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
_CHOICES = 100


def resolve_ports(publish: tuple[PortMapping, ...]) -> tuple[PortMapping, ...]:
    """Return the mappings with every host port chosen and found free just now.

    Raises:
        Conflict: a port is taken, by another process or by two mappings; the remedy has the next free one.
        Refused: the port is below what users may bind; the remedy is the sysctl.
        Usage: the host has no such address.
    """
    rivals: dict[tuple[int, str], list[PortMapping]] = {}
    for mapping in publish:
        rivals.setdefault((mapping.host_port, mapping.protocol), []).append(mapping)
    for mapping in publish:
        if mapping.host_port:
            _check_own(mapping, rivals[mapping.host_port, mapping.protocol], publish)
            trouble = bind_trouble(mapping.host_ip, mapping.host_port, mapping.protocol)
            if trouble is not None:
                raise _explain(trouble, mapping, publish)
    # Ports to be chosen come second, so that none of them takes one that was asked for by number.
    given = list(publish)
    for place, mapping in enumerate(publish):
        if not mapping.host_port:
            given[place] = mapping.replace(host_port=_free_port(mapping, tuple(given)))
    return tuple(given)


def overlap(one: PortMapping, other: PortMapping) -> bool:
    """Tell whether two mappings want the same host port (a wildcard address meets every address)."""
    return (
        one.host_port == other.host_port
        and one.protocol == other.protocol
        and (one.host_ip == other.host_ip or one.host_ip in _WILDCARDS or other.host_ip in _WILDCARDS)
    )


def _check_own(mapping: PortMapping, rivals: list[PortMapping], publish: tuple[PortMapping, ...]) -> None:
    for other in rivals:
        if other is not mapping and overlap(mapping, other):
            raise Conflict(
                f"host port {mapping.host_port}/{mapping.protocol} is published twice: {mapping} and {other}",
                remedy=_next_free_words(mapping, publish),
            )


def bind_trouble(host_ip: str, port: int, protocol: str) -> OSError | None:
    """Try to bind (and for tcp to listen on) a port of the host; return what stood against it."""
    try:
        _try_bind(host_ip, port, protocol)
    except OSError as cause:
        return cause
    return None


def _try_bind(host_ip: str, port: int, protocol: str) -> int:
    """Bind, note the port's number, close."""
    import _socket

    family = _socket.AF_INET6 if ":" in host_ip else _socket.AF_INET
    kind = _socket.SOCK_DGRAM if protocol == "udp" else _socket.SOCK_STREAM
    number = _socket.IPPROTO_SCTP if protocol == "sctp" else 0
    trial = _socket.socket(family, kind | _socket.SOCK_CLOEXEC, number)
    try:
        if protocol != "udp":
            # As the helpers do: connections that just ended (TIME_WAIT) must not look like a taken port.
            trial.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if family == _socket.AF_INET6:
            trial.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        trial.bind((host_ip or "0.0.0.0", port))  # noqa: S104 - what -p without an address means
        if protocol != "udp":
            trial.listen(1)
        chosen: int = trial.getsockname()[1]
        return chosen
    finally:
        trial.close()


def _free_port(mapping: PortMapping, taken: tuple[PortMapping, ...]) -> int:
    """Return a free port that the kernel picks, other than those already given out."""
    for _attempt in range(_CHOICES):
        try:
            port = _try_bind(mapping.host_ip, 0, mapping.protocol)
        except OSError as cause:
            raise _explain(cause, mapping, taken) from cause
        candidate = mapping.replace(host_port=port)
        if not any(overlap(candidate, other) for other in taken):
            return port
    raise Conflict(
        f"no free {mapping.protocol} port was found for container port {mapping.container_port}",
        remedy=f"name one with -p HOSTPORT:{mapping.container_port}",
    )


def next_free(mapping: PortMapping, publish: tuple[PortMapping, ...]) -> int | None:
    """Return the first free port above the mapping's own, or None if there is none near."""
    for port in range(mapping.host_port + 1, min(mapping.host_port + _SEARCHED_PORTS, _HIGHEST_PORT) + 1):
        candidate = mapping.replace(host_port=port)
        if any(overlap(candidate, other) for other in publish):
            continue
        if bind_trouble(mapping.host_ip, port, mapping.protocol) is None:
            return port
    return None


def _next_free_words(mapping: PortMapping, publish: tuple[PortMapping, ...]) -> str:
    port = next_free(mapping, publish)
    address = f"[{mapping.host_ip}]:" if ":" in mapping.host_ip else f"{mapping.host_ip}:" if mapping.host_ip else ""
    suffix = "" if mapping.protocol == "tcp" else f"/{mapping.protocol}"
    shown = "" if port is None else port
    free = "let a free one be chosen" if port is None else f"the next free port is {port}"
    return f"{free}: -p {address}{shown}{':' if port or address else ''}{mapping.container_port}{suffix}"


def first_unprivileged_port() -> int:
    """Return the lowest port that a user may bind."""
    try:
        return int(procfs.read_text(_FIRST_UNPRIVILEGED))
    except (OSError, ValueError):
        return 1024


def _explain(trouble: OSError, mapping: PortMapping, publish: tuple[PortMapping, ...]) -> RpodError:
    """Turn what bind(2) said into the error for the user."""
    name = f"host port {mapping.host_port}/{mapping.protocol}"
    if trouble.errno == errno.EADDRINUSE:
        where = f" on {mapping.host_ip}" if mapping.host_ip not in _WILDCARDS else ""
        return Conflict(f"{name} is already in use{where}", remedy=_next_free_words(mapping, publish))
    if trouble.errno in (errno.EACCES, errno.EPERM):
        first = first_unprivileged_port()
        return Refused(
            f"{name} is privileged: users may bind ports from {first}",
            remedy=f"publish a port from {first} up, or as root:"
            f" sysctl -w net.ipv4.ip_unprivileged_port_start={mapping.host_port}",
        )
    if trouble.errno == errno.EADDRNOTAVAIL:
        return Usage(
            f"-p {mapping}: the host has no address {mapping.host_ip}", remedy="list the addresses with: ip address"
        )
    return Refused(f"{name} can't be bound: {trouble.strerror}")
