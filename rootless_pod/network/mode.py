"""What the user asks of the network: ``--network``, ``-p`` and their neighbours, parsed and typed.

Source: podman-run(1), options --network, --publish, --expose (spelling and defaults).
"""

from __future__ import annotations

from rootless_pod.errors import NotFound, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.slirp.driver import PortMapping

BRIDGE = "bridge"
PROTOCOLS = ("tcp", "udp", "sctp")
TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.network.joins import NetworkJoin

_DRIVERS = ("slirp4netns", "pasta")
_OTHERS = ("", "private", "default", "host", "none", "container", "ns")
_HIGHEST_PORT = 65535
_PUBLISH_FORM = "write -p [IP:][HOSTPORT]:CONTAINERPORT[/tcp|udp], such as -p 8080:80"


class NetworkMode(Frozen):
    """``--network`` taken apart.

    ``kind``: "" (choose), ``slirp4netns``, ``pasta``, ``host``, ``none``, ``container``, ``ns`` or ``bridge``;
    ``target``: the container or path of the last two; ``options``: what stands after the colon, split at commas.
    """

    kind: str
    target: str = ""
    options: tuple[str, ...] = ()


class NetworkRequest(Frozen):
    """All that ``run`` and ``create`` say about the network, as typed apart from ``publish``."""

    mode: str = ""
    publish: tuple[PortMapping, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    add_hosts: tuple[str, ...] = ()
    hostname: str = ""
    no_hosts: bool = False
    joins: tuple[NetworkJoin, ...] = ()
    """The named networks, where the mode is ``bridge``."""
    mac_address: str = ""
    ip: str = ""
    ip6: str = ""
    hosts_file: str = ""
    """What the container's /etc/hosts begins with: a file, ``none``, ``image``, or "" for the host's."""
    host_address: str = ""
    """What host.containers.internal stands for: an address, ``none``, or "" for the network's way to the host."""


def parse_network(text: str) -> NetworkMode:
    """Parse the value of ``--network``; "" and ``private`` leave the choice to us.

    Raises:
        Usage: a value is missing or out of place.
        NotFound: it is no mode (named networks have been taken out before).
    """
    kind, colon, rest = text.partition(":")
    if text in ("", "private", "default"):
        return NetworkMode(kind="")
    if kind in ("host", "none") and not colon:
        return NetworkMode(kind=kind)
    if kind in ("container", "ns"):
        if not rest:
            raise Usage(f"--network {text} names no {'container' if kind == 'container' else 'path'}")
        if kind == "ns" and not rest.startswith("/"):
            raise Usage(f"--network {text}: the path is not absolute", remedy="write --network ns:/run/…/NAME")
        return NetworkMode(kind=kind, target=rest)
    if kind in _DRIVERS:
        if colon and not rest:
            raise Usage(f"--network {text} has no options after the colon")
        return NetworkMode(kind=kind, options=tuple(part for part in rest.split(",") if part))
    if kind in ("host", "none", "private"):
        raise Usage(f"--network {kind} takes no options: {text}", remedy=f"write --network {kind}")
    if text == BRIDGE:
        return NetworkMode(kind=BRIDGE)
    raise NotFound(
        f"unable to find network with name or ID {text}: network not found",
        remedy="use pasta, slirp4netns, host, none, container:NAME, ns:PATH, or a network: rpod network ls",
    )


def names_network(text: str) -> bool:
    """Tell whether a value of ``--network`` names networks, rather than a mode."""
    kind = text.partition(":")[0]
    return kind not in _OTHERS and kind not in _DRIVERS


def parse_publish(text: str) -> tuple[PortMapping, ...]:
    """Parse one ``-p``: ``[[IP:][HOST]:]CONTAINER[/PROTOCOL]``; ranges give one mapping a port.

    A host port left out is 0: a free one is chosen when the container starts. An IPv6 address stands in brackets.

    Raises:
        Usage: it is not of that form; the message quotes it.
    """
    left, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in PROTOCOLS:
        raise Usage(f"-p {text}: unknown protocol {protocol!r}", remedy=_PUBLISH_FORM)
    host_ip, host, container = _split_publish(left, text)
    if host_ip:
        _check_address(host_ip, text)
    container_ports = parse_port_range(container, f"-p {text}")
    if not host or host == "0":
        return tuple(
            PortMapping(host_ip=host_ip, host_port=0, container_port=port, protocol=protocol)
            for port in container_ports
        )
    host_ports = parse_port_range(host, f"-p {text}")
    if len(host_ports) != len(container_ports):
        raise Usage(
            f"-p {text}: {len(host_ports)} host ports for {len(container_ports)} container ports",
            remedy="give both ranges the same length, such as -p 8000-8010:80-90",
        )
    return tuple(
        PortMapping(host_ip=host_ip, host_port=host_port, container_port=port, protocol=protocol)
        for host_port, port in zip(host_ports, container_ports, strict=True)
    )


def parse_expose(text: str) -> tuple[tuple[int, str], ...]:
    """Parse one ``--expose`` or ``ExposedPorts`` entry, ``PORT[-PORT][/PROTOCOL]``, to (port, protocol) pairs.

    Raises:
        Usage: it is not of that form.
    """
    ports, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in PROTOCOLS:
        raise Usage(f"exposed port {text}: unknown protocol {protocol!r}", remedy="write PORT/tcp or PORT/udp")
    return tuple((port, protocol) for port in parse_port_range(ports, f"exposed port {text}"))


def publish_exposed(publish: tuple[PortMapping, ...], exposed: tuple[str, ...]) -> tuple[PortMapping, ...]:
    """Return ``publish`` and, for ``-P``, each exposed port it lacks at a host port to be chosen."""
    present = {(mapping.container_port, mapping.protocol) for mapping in publish}
    added: list[PortMapping] = []
    for text in exposed:
        for port, protocol in parse_expose(text):
            if (port, protocol) not in present:
                present.add((port, protocol))
                added.append(PortMapping(container_port=port, protocol=protocol))
    return publish + tuple(added)


def parse_port_range(text: str, what: str) -> range:
    """Parse ``80`` or ``8000-8010``; ``what`` begins the message of an error.

    Raises:
        Usage: not numbers, out of 1..65535, or the wrong way round.
    """
    first, dash, last = text.partition("-")
    if not _is_port(first) or (dash and not _is_port(last)):
        raise Usage(f"{what}: {text!r} is not a port between 1 and {_HIGHEST_PORT}", remedy=_PUBLISH_FORM)
    low, high = int(first), int(last or first)
    if high < low:
        raise Usage(f"{what}: the range {text} runs backwards", remedy=f"write {high}-{low}")
    return range(low, high + 1)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= _HIGHEST_PORT


def _split_publish(left: str, text: str) -> tuple[str, str, str]:
    """Split ``[[IP:][HOST]:]CONTAINER`` into its three parts, missing ones empty."""
    host_ip = ""
    if left.startswith("["):
        host_ip, bracket, left = left[1:].partition("]")
        if not bracket or not left.startswith(":"):
            raise Usage(f"-p {text}: the IPv6 address is not closed with ']:'", remedy=_PUBLISH_FORM)
        left = left[1:]
        parts = [host_ip, *left.split(":")]
        if len(parts) == 2:
            parts.insert(1, "")
    else:
        parts = left.split(":")
    if len(parts) > 3:
        raise Usage(f"-p {text}: too many colons", remedy=f"{_PUBLISH_FORM}; an IPv6 address goes in brackets")
    padded = [""] * (3 - len(parts)) + parts
    return padded[0], padded[1], padded[2]


def _check_address(address: str, text: str) -> None:
    import _socket

    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    try:
        _socket.inet_pton(family, address)
    except OSError as cause:
        raise Usage(f"-p {text}: {address!r} is not an IP address", remedy=_PUBLISH_FORM) from cause
