"""What is answered to a DNS message of a container: by ourselves, by another server, or not at all.

Source: RFC 1035, RFC 6891 (EDNS), RFC 8020 (NXDOMAIN).
"""

from __future__ import annotations

import ipaddress
import random

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset

from rootless_pod.frozen import Frozen
from rootless_pod.network.zone import SEARCH_DOMAIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.network.zone import Address, View, Zone

TTL_SECONDS = 0
"""Nobody keeps an answer: the next container of that name has another address."""
PLAIN_SIZE = 512
LARGEST_SIZE = 65535
_HEADER_BYTES = 12
_QR = 0x80
_REVERSE = (dns.reversename.ipv4_reverse_domain, dns.reversename.ipv6_reverse_domain)
_SUFFIX = dns.name.from_text(SEARCH_DOMAIN)


class Forward(Frozen):
    """Others have to say it: ``servers`` () means those of the host."""

    servers: tuple[str, ...]


def decide(wire: bytes, *, network: str, source: str, zone: Zone, stream: bool = False) -> bytes | Forward | None:
    """Return the answer to a message that came from ``source`` to the gateway of ``network``.

    None: it is no query, nothing is answered. ``stream``: it came over TCP, where no answer is too long.
    """
    if len(wire) < _HEADER_BYTES or wire[2] & _QR:
        return None
    try:
        query = dns.message.from_wire(wire, ignore_trailing=True)
    except Exception:
        # Whatever a parser stumbles over in bytes of others: it is not a message.
        return failure(wire, dns.rcode.FORMERR)
    limit = LARGEST_SIZE if stream else max(PLAIN_SIZE, query.payload)
    if query.opcode() != dns.opcode.QUERY:
        return _finish(query, dns.rcode.NOTIMP, limit)
    if len(query.question) != 1:
        return _finish(query, dns.rcode.FORMERR, limit)
    view = zone.view(network, source)
    if view is None:
        return _finish(query, dns.rcode.REFUSED, limit)
    return _look_up(query, view, zone, limit)


def _look_up(query: dns.message.Message, view: View, zone: Zone, limit: int) -> bytes | Forward:
    question = query.question[0]
    name, kind = question.name, question.rdtype
    if question.rdclass == dns.rdataclass.IN:
        if any(name.is_subdomain(one) for one in _REVERSE):
            names = _names_at(name, view, zone)
            if names is not None:
                texts = _written(names) if kind in (dns.rdatatype.PTR, dns.rdatatype.ANY) else []
                return _finish(query, _code(names), limit, dns.rdatatype.PTR, texts)
        else:
            inside = name.is_subdomain(_SUFFIX)
            found = zone.addresses(view, _plain(name))
            if found is not None or inside:
                return _addresses(query, found, limit)
    if not view.may_forward:
        return _finish(query, dns.rcode.NXDOMAIN, limit)
    return Forward(servers=view.servers)


def _plain(name: dns.name.Name) -> str:
    """Return a name as leases have it: without the search domain and the dot at the end, in lower case."""
    if name.is_subdomain(_SUFFIX):
        name = name.relativize(_SUFFIX)
    return name.to_text(omit_final_dot=True).lower()


def _names_at(name: dns.name.Name, view: View, zone: Zone) -> list[str] | None:
    try:
        address = ipaddress.ip_address(dns.reversename.to_address(name))
    except (dns.exception.DNSException, ValueError):
        return None  # the reverse name of a network, say
    return zone.names_at(view, address)


def _written(names: list[str]) -> list[str]:
    """Return names as a record has them, without those that DNS can't say: one of more than 63 letters, say."""
    found = []
    for one in names:
        try:
            found.append(dns.name.from_text(f"{one}.").to_text())
        except dns.exception.DNSException:
            continue
    return found


def _code(found: object) -> dns.rcode.Rcode:
    return dns.rcode.NOERROR if found else dns.rcode.NXDOMAIN


def _addresses(query: dns.message.Message, found: list[Address] | None, limit: int) -> bytes:
    kind = query.question[0].rdtype
    if found is None:
        return _finish(query, dns.rcode.NXDOMAIN, limit)
    version = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}.get(kind)
    if kind == dns.rdatatype.ANY and found:
        version = found[0].version
        kind = dns.rdatatype.A if version == 4 else dns.rdatatype.AAAA
    texts = [str(one) for one in found if one.version == version]
    random.shuffle(texts)  # several containers of one alias share the work
    return _finish(query, dns.rcode.NOERROR, limit, kind, texts)


def _finish(
    query: dns.message.Message,
    code: dns.rcode.Rcode,
    limit: int,
    kind: dns.rdatatype.RdataType = dns.rdatatype.NONE,
    texts: list[str] | tuple[()] = (),
) -> bytes:
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(code)
    if code in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        response.flags |= dns.flags.AA
    if texts:
        owner = query.question[0].name
        response.answer.append(dns.rrset.from_text(owner, TTL_SECONDS, dns.rdataclass.IN, kind, *texts))
    try:
        # In our order: the name of a container comes before its aliases.
        return response.to_wire(max_size=limit, want_shuffle=False)
    except dns.exception.TooBig:
        response.answer.clear()
        response.flags |= dns.flags.TC
        return response.to_wire(max_size=limit)


def failure(wire: bytes, code: int) -> bytes:
    """Return a bare answer that says what went wrong, to a message that may not be one (12 bytes or more)."""
    flags = bytes((_QR | (wire[2] & 0x79), 0x80 | code))
    return wire[:2] + flags + bytes(8)


def fits(answer: bytes, query: bytes) -> bool:
    """Tell whether ``answer`` is one to ``query``: same id, and the same question if it repeats one."""
    if len(answer) < _HEADER_BYTES or answer[:2] != query[:2] or not answer[2] & _QR:
        return False
    if answer[4:6] == b"\0\0":
        return True
    end = _question_end(query)
    return answer[4:6] == query[4:6] and answer[_HEADER_BYTES:end].lower() == query[_HEADER_BYTES:end].lower()


def _question_end(query: bytes) -> int:
    """Return where the only question of a message ends that has been parsed."""
    at = _HEADER_BYTES
    while at < len(query) and query[at]:
        at += query[at] + 1
    return at + 5
