"""Bridges, veth pairs, addresses and routes of a network namespace. Source: rtnetlink(7), linux/if_link.h."""

from __future__ import annotations

import errno
import os
import struct

from rootless_pod.frozen import Frozen
from rootless_pod.linux.netlink import (
    NETLINK_ROUTE,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Netlink,
    attribute,
    attributes,
    nested,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _GETADDR = 20, 22
_NEWROUTE, _DELROUTE = 24, 25
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 4, 10, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_IFA_F_NODAD = 0x02
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY = 1, 4, 5, 6
_IFF_UP = 0x1
_AF_INET, _AF_INET6 = 2, 10
_TABLE_MAIN, _PROTO_STATIC, _UNICAST = 254, 4, 1
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")


class Link(Frozen):
    """An interface. ``master`` is the number of the bridge it is a port of, 0: of none."""

    index: int
    name: str
    kind: str = ""
    mtu: int = 0
    mac: str = ""
    master: int = 0
    up: bool = False


def pack_mac(text: str) -> bytes:
    """Return the six bytes of ``aa:bb:cc:dd:ee:ff``."""
    return bytes(int(part, 16) for part in text.split(":"))


def pack_address(text: str) -> tuple[int, bytes]:
    """Return family and bytes of an IP address (raises OSError)."""
    import _socket

    family = _AF_INET6 if ":" in text else _AF_INET
    return family, _socket.inet_pton(family, text)


class Routing:
    """The interfaces of the network namespace of the thread that makes this. Use it as a context."""

    def __init__(self) -> None:
        """Open the socket (raises OSError)."""
        self._netlink = Netlink(NETLINK_ROUTE)

    def __enter__(self) -> Routing:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the socket."""
        self._netlink.__exit__(kind, error, trace)

    def links(self) -> dict[str, Link]:
        """Return the interfaces by name."""
        found = {}
        for body in self._netlink.dump(_GETLINK, _LINK.pack(0, 0, 0, 0, 0)):
            link = _parse_link(body)
            found[link.name] = link
        return found

    def addresses(self) -> dict[int, set[str]]:
        """Return the addresses (``10.89.0.1/24``) of each interface by its number; those of the link are left out."""
        import _socket

        found: dict[int, set[str]] = {}
        for body in self._netlink.dump(_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0)):
            family, bits, _flags, scope, index = _ADDRESS.unpack_from(body)
            values = dict(attributes(body[_ADDRESS.size :]))
            packed = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS)
            if packed and scope == 0:
                found.setdefault(index, set()).add(f"{_socket.inet_ntop(family, packed)}/{bits}")
        return found

    def add_bridge(self, name: str, *, mac: str, mtu: int = 0) -> None:
        """Make a bridge. With an address of its own it keeps that one whichever ports come and go."""
        parts = [attribute(_IFLA_IFNAME, name), attribute(_IFLA_ADDRESS, pack_mac(mac))]
        if mtu:
            parts.append(attribute(_IFLA_MTU, mtu))
        parts.append(nested(_IFLA_LINKINFO, attribute(_INFO_KIND, "bridge")))
        self._netlink.request(_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, _LINK.pack(0, 0, 0, 0, 0) + b"".join(parts))

    def add_veth(self, name: str, *, master: int, peer: str, peer_netns: int, peer_mac: str, mtu: int = 0) -> None:
        """Make a pair: ``name`` here, a port of ``master``, and ``peer`` in the namespace behind ``peer_netns``."""
        size = [attribute(_IFLA_MTU, mtu)] if mtu else []
        other = (
            attribute(_IFLA_IFNAME, peer),
            attribute(_IFLA_ADDRESS, pack_mac(peer_mac)),
            attribute(_IFLA_NET_NS_FD, peer_netns),
            *size,
        )
        pair = nested(_INFO_DATA, nested(_VETH_INFO_PEER, _LINK.pack(0, 0, 0, 0, 0), *other))
        parts = (
            attribute(_IFLA_IFNAME, name),
            attribute(_IFLA_MASTER, master),
            *size,
            nested(_IFLA_LINKINFO, attribute(_INFO_KIND, "veth"), pair),
        )
        # The flag asks for "up" in the same request.
        head = _LINK.pack(0, 0, 0, _IFF_UP, _IFF_UP)
        self._netlink.request(_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, head + b"".join(parts))

    def set_up(self, index: int) -> None:
        """Bring an interface up."""
        self._netlink.request(_NEWLINK, 0, _LINK.pack(0, 0, index, _IFF_UP, _IFF_UP))

    def remove(self, index: int) -> None:
        """Remove an interface; gone already is fine."""
        try:
            self._netlink.request(_DELLINK, 0, _LINK.pack(0, 0, index, 0, 0))
        except OSError as cause:
            if cause.errno != errno.ENODEV:
                raise

    def add_address(self, index: int, text: str) -> None:
        """Give an interface the address ``10.89.0.2/24``; there already is fine. IPv6 counts at once."""
        address, _slash, bits = text.partition("/")
        family, packed = pack_address(address)
        parts = [attribute(_IFA_LOCAL, packed), attribute(_IFA_ADDRESS, packed)]
        if family == _AF_INET6:
            parts.append(attribute(_IFA_FLAGS, _IFA_F_NODAD))
        elif int(bits) < 31:
            hosts = (1 << (32 - int(bits))) - 1
            broadcast = int.from_bytes(packed, "big") | hosts
            parts.append(attribute(_IFA_BROADCAST, broadcast.to_bytes(4, "big")))
        head = _ADDRESS.pack(family, int(bits), 0, 0, index)
        self._netlink.request(_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, head + b"".join(parts))

    def add_route(self, index: int, gateway: str, *, destination: str = "", metric: int | None = None) -> None:
        """Add a route through ``gateway``; ``destination`` "" is the default route. There already is fine.

        Of IPv4, others to the same place stay and go first; of IPv6 the first one stays alone.
        """
        family, packed = pack_address(gateway)
        network, _slash, bits = destination.partition("/")
        parts = [attribute(_RTA_DST, pack_address(network)[1])] if network else []
        parts += [attribute(_RTA_GATEWAY, packed), attribute(_RTA_OIF, index)]
        if metric is not None:
            parts.append(attribute(_RTA_PRIORITY, metric))
        head = _ROUTE.pack(family, int(bits or 0), 0, 0, _TABLE_MAIN, _PROTO_STATIC, 0, _UNICAST, 0)
        try:
            # IPv6 would share what is sent among routes of one metric.
            mode = NLM_F_APPEND if family == _AF_INET else NLM_F_EXCL
            self._netlink.request(_NEWROUTE, NLM_F_CREATE | mode, head + b"".join(parts))
        except OSError as cause:
            if cause.errno != errno.EEXIST:
                raise


def _parse_link(body: bytes) -> Link:
    _family, _type, index, flags, _change = _LINK.unpack_from(body)
    values = dict(attributes(body[_LINK.size :]))
    info = dict(attributes(values.get(_IFLA_LINKINFO, b"")))
    return Link(
        index=index,
        name=os.fsdecode(values.get(_IFLA_IFNAME, b"").rstrip(b"\0")),
        kind=info.get(_INFO_KIND, b"").rstrip(b"\0").decode(),
        mtu=_number(values.get(_IFLA_MTU)),
        mac=":".join(f"{byte:02x}" for byte in values.get(_IFLA_ADDRESS, b"")),
        master=_number(values.get(_IFLA_MASTER)),
        up=bool(flags & _IFF_UP),
    )


def _number(value: bytes | None) -> int:
    return struct.unpack("=I", value)[0] if value else 0
