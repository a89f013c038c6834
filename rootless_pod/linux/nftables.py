"""Rules of nf_tables as netlink messages, sent as one transaction. Source: linux/netfilter/nf_tables.h.

Only what named networks need: match interface names and addresses, drop, jump, masquerade.
"""

from __future__ import annotations

import struct

from rootless_pod.linux.netlink import (
    NETLINK_NETFILTER,
    NLM_F_APPEND,
    NLM_F_CREATE,
    Netlink,
    attribute,
    nested,
)

NFPROTO_IPV4, NFPROTO_IPV6 = 2, 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_SUBSYSTEM = 10
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE = 0, 2, 3, 6
_HOOKS = {"forward": 2, "postrouting": 4}
_REGISTER, _VERDICT = 1, 0
_NF_DROP, _NFT_JUMP = 0, 0xFFFFFFFD  # -3
_META = {"iifname": 6, "oifname": 7}
_EQUAL, _DIFFERENT = 0, 1
_NAME_BYTES = 16
# Where the two addresses stand in the header, and how long they are.
_FIELDS = {
    (NFPROTO_IPV4, "saddr"): (12, 4),
    (NFPROTO_IPV4, "daddr"): (16, 4),
    (NFPROTO_IPV6, "saddr"): (8, 16),
    (NFPROTO_IPV6, "daddr"): (24, 16),
}


def _number(value: int) -> bytes:
    return struct.pack("!I", value)


def _expression(name: str, *parts: bytes) -> bytes:
    return nested(1, attribute(1, name), nested(2, *parts))


def _compare(value: bytes, *, equal: bool) -> bytes:
    operator = _EQUAL if equal else _DIFFERENT
    data = nested(3, attribute(1, value))
    return _expression("cmp", attribute(1, _number(_REGISTER)), attribute(2, _number(operator)), data)


def interface(field: str, name: str, *, equal: bool = True) -> bytes:
    """Match packets whose ``iifname`` or ``oifname`` is ``name`` (or is not)."""
    load = _expression("meta", attribute(2, _number(_META[field])), attribute(1, _number(_REGISTER)))
    return load + _compare(name.encode().ljust(_NAME_BYTES, b"\0"), equal=equal)


def address(family: int, field: str, network: bytes, bits: int, *, equal: bool = True) -> bytes:
    """Match packets whose ``saddr`` or ``daddr`` lies in a network (or does not)."""
    offset, length = _FIELDS[family, field]
    number = (1 << (8 * length)) - (1 << (8 * length - bits))
    mask = number.to_bytes(length, "big")
    first = (int.from_bytes(network, "big") & number).to_bytes(length, "big")
    load = _expression(
        "payload",
        attribute(1, _number(_REGISTER)),
        attribute(2, _number(1)),  # NFT_PAYLOAD_NETWORK_HEADER
        attribute(3, _number(offset)),
        attribute(4, _number(length)),
    )
    masked = _expression(
        "bitwise",
        attribute(1, _number(_REGISTER)),
        attribute(2, _number(_REGISTER)),
        attribute(3, _number(length)),
        nested(4, attribute(1, mask)),
        nested(5, attribute(1, bytes(length))),
    )
    return load + masked + _compare(first, equal=equal)


def drop() -> bytes:
    """Throw the packet away."""
    return _verdict(attribute(1, _number(_NF_DROP)))


def jump(chain: str) -> bytes:
    """Go on in another chain and come back."""
    return _verdict(attribute(1, _number(_NFT_JUMP)) + attribute(2, chain))


def _verdict(code: bytes) -> bytes:
    return _expression("immediate", attribute(1, _number(_VERDICT)), nested(2, nested(2, code)))


def masquerade() -> bytes:
    """Give the packet the address of the interface it leaves by."""
    return _expression("masq")


class Table:
    """One table, made anew with all its rules by ``replace``: either all of it counts or what was there before."""

    def __init__(self, family: int, name: str) -> None:
        """Begin an empty table."""
        self._family, self._name = family, name
        self._messages: list[tuple[int, int, bytes]] = []
        table = attribute(1, name)
        self._add(_NEWTABLE, NLM_F_CREATE, table)  # so that there is one to delete
        self._add(_DELTABLE, 0, table)
        self._add(_NEWTABLE, NLM_F_CREATE, table)

    def _add(self, kind: int, flags: int, body: bytes) -> None:
        head = struct.pack("!BBH", self._family, 0, 0)
        self._messages.append((_SUBSYSTEM << 8 | kind, flags, head + body))

    def chain(self, name: str, *, hook: str = "", kind: str = "filter", priority: int = 0) -> None:
        """Add a chain; one without ``hook`` is reached by ``jump`` only."""
        parts = [attribute(1, self._name), attribute(3, name)]
        if hook:
            parts += [
                nested(4, attribute(1, _number(_HOOKS[hook])), attribute(2, _number(priority))),
                attribute(7, kind),
            ]
        self._add(_NEWCHAIN, NLM_F_CREATE, b"".join(parts))

    def rule(self, chain: str, *expressions: bytes) -> None:
        """Add a rule at the end of a chain."""
        body = attribute(1, self._name) + attribute(2, chain) + nested(4, *expressions)
        self._add(_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, body)

    def replace(self) -> None:
        """Put the table in place of the one of that name (raises OSError; then nothing has changed)."""
        head = struct.pack("!BBH", 0, 0, _SUBSYSTEM)
        with Netlink(NETLINK_NETFILTER) as netlink:
            netlink.send_all([(_BATCH_BEGIN, 0, head), *self._messages, (_BATCH_END, 0, head)])
