"""What is answered to DNS messages, well made and not."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless_pod.network.answers import Forward, decide, failure, fits
from rootless_pod.network.definition import Network, Subnet
from rootless_pod.network.lease import Lease
from rootless_pod.network.zone import Zone


def network(name, number, **more):
    subnets = (Subnet(subnet=f"10.89.{number}.0/24"), Subnet(subnet=f"fd00:{number}::/64"))
    return Network(name=name, id="1" * 64, interface=name, created="", subnets=subnets, **more)


def lease(container, *addresses, **more):
    return Lease(container=container, name=container, addresses=addresses, **more)


ZONE = Zone(
    {"red": network("red", 1, dns_servers=("192.0.2.1",)), "blue": network("blue", 2, internal=True)},
    {
        "red": [
            lease("web", "10.89.1.2/24", "fd00:1::2/64", aliases=("shared",)),
            lease("db", "10.89.1.3/24", aliases=("shared",)),
        ],
        "blue": [lease("db", "10.89.2.3/24", dns=("192.0.2.7",)), lease("batch", "10.89.2.4/24")],
    },
)


def asked(name, kind="A", *, source="10.89.1.2", where="red", zone=ZONE, stream=False, **more):
    query = dns.message.make_query(name, kind, **more)
    found = decide(query.to_wire(), network=where, source=source, zone=zone, stream=stream)
    if isinstance(found, Forward):
        return found
    response = dns.message.from_wire(found)
    assert query.is_response(response)
    return response


def texts(response):
    assert response.rcode() == dns.rcode.NOERROR
    return sorted(str(record) for rrset in response.answer for record in rrset)


@pytest.mark.parametrize("name", ["db", "DB.", "db.dns.podman", "Db.DNS.podman."])
def test_a_name_has_its_address_with_the_search_domain_and_without(name):
    response = asked(name)
    assert texts(response) == ["10.89.1.3"]
    assert response.answer[0].ttl == 0
    assert response.flags & dns.flags.RA


def test_each_family_is_asked_for_by_its_type():
    assert texts(asked("web", "AAAA")) == ["fd00:1::2"]
    assert texts(asked("db", "AAAA")) == []
    assert texts(asked("db", "MX")) == []
    assert texts(asked("db", "ANY")) == ["10.89.1.3"]


def test_an_alias_of_several_has_all_their_addresses():
    assert texts(asked("shared")) == ["10.89.1.2", "10.89.1.3"]


def test_an_address_has_the_names_of_its_container():
    assert texts(asked("3.1.89.10.in-addr.arpa", "PTR")) == ["db.", "shared."]
    assert asked("99.1.89.10.in-addr.arpa", "PTR").rcode() == dns.rcode.NXDOMAIN
    six = dns.reversename.from_address("fd00:1::2")
    for _ in range(10):
        assert [str(one) for one in asked(six, "PTR").answer[0]] == ["web.", "shared."]


def test_containers_of_one_alias_take_turns():
    assert len({str(asked("shared").answer[0][0]) for _ in range(60)}) == 2


def test_other_names_are_for_other_servers():
    for name, kind in (("example.com", "A"), ("nosuch", "A"), ("1.0.0.127.in-addr.arpa", "PTR"), (".", "NS"),
                       ("10.in-addr.arpa", "SOA")):  # fmt: skip
        assert asked(name, kind) == Forward(servers=("192.0.2.1",))
    assert asked("db", rdclass="CH") == Forward(servers=("192.0.2.1",))


def test_what_is_unknown_in_our_own_domain_is_nowhere():
    assert asked("nosuch.dns.podman").rcode() == dns.rcode.NXDOMAIN


def test_from_an_internal_network_nothing_else_is_there():
    assert asked("example.com", source="10.89.2.4", where="blue").rcode() == dns.rcode.NXDOMAIN
    assert texts(asked("db", source="10.89.2.4", where="blue")) == ["10.89.2.3"]
    assert asked("example.com", source="10.89.2.3", where="blue") == Forward(servers=("192.0.2.7",))


def test_strangers_are_refused():
    assert asked("db", source="192.0.2.9").rcode() == dns.rcode.REFUSED


def test_an_answer_too_long_for_a_datagram_says_so_and_is_whole_over_tcp():
    many = [lease(f"c{number}", f"10.89.1.{number}/24", aliases=("all",)) for number in range(2, 200)]
    zone = Zone({"red": network("red", 1)}, {"red": many})
    short = asked("all", zone=zone)
    assert short.flags & dns.flags.TC
    assert not short.answer
    assert len(texts(asked("all", zone=zone, stream=True))) == 198
    assert len(texts(asked("all", zone=zone, use_edns=0, payload=4096))) == 198


def test_other_kinds_of_messages_are_turned_down():
    update = dns.message.make_query("db", "A")
    update.set_opcode(4)  # NOTIFY
    assert dns.message.from_wire(decide(update.to_wire(), network="red", source="10.89.1.2", zone=ZONE)).rcode() in (
        dns.rcode.NOTIMP,
        dns.rcode.FORMERR,
    )
    empty = dns.message.Message(id=7)
    answer = decide(empty.to_wire(), network="red", source="10.89.1.2", zone=ZONE)
    assert dns.message.from_wire(answer).rcode() == dns.rcode.FORMERR


def test_answers_are_not_answered():
    response = dns.message.make_response(dns.message.make_query("db", "A"))
    assert decide(response.to_wire(), network="red", source="10.89.1.2", zone=ZONE) is None


@settings(max_examples=300, deadline=None)
@given(wire=st.binary(max_size=80), stream=st.booleans())
def test_any_bytes_get_an_answer_a_server_or_silence(wire, stream):
    found = decide(wire, network="red", source="10.89.1.2", zone=ZONE, stream=stream)
    assert found is None or isinstance(found, Forward) or (found[:2] == wire[:2] and found[2] & 0x80)


QUERY = dns.message.make_query("web.dns.podman", "A", use_edns=0).to_wire()


@settings(max_examples=300, deadline=None)
@given(changes=st.dictionaries(st.integers(2, len(QUERY) - 1), st.integers(0, 255), max_size=4), end=st.integers(0, 60))
def test_a_damaged_query_gets_an_answer_a_server_or_silence(changes, end):
    wire = bytearray(QUERY)
    for at, value in changes.items():
        wire[at] = value
    data = bytes(wire[: len(wire) - end % 20])
    found = decide(data, network="red", source="10.89.1.2", zone=ZONE)
    assert found is None or isinstance(found, Forward) or found[:2] == data[:2]


def test_an_answer_belongs_to_a_query_by_id_and_question():
    query = dns.message.make_query("Example.com", "A", id=0x1234)
    response = dns.message.make_response(query).to_wire()
    assert fits(response, query.to_wire())
    assert fits(response.lower(), query.to_wire())
    assert fits(failure(query.to_wire(), 2), query.to_wire())
    assert not fits(response, dns.message.make_query("Example.com", "A", id=query.id ^ 1).to_wire())
    assert not fits(dns.message.make_response(dns.message.make_query("other.com", "A", id=query.id)).to_wire(),
                    query.to_wire())  # fmt: skip
    assert not fits(query.to_wire(), query.to_wire())
    assert not fits(b"", query.to_wire())


@settings(max_examples=200, deadline=None)
@given(answer=st.binary(max_size=60))
def test_any_bytes_may_come_from_a_server(answer):
    assert fits(answer, QUERY) in (True, False)


@pytest.mark.parametrize("name", ["a" * 64, "a..b", ".", "x y\\", '"', "$ORIGIN", "@", "ä" * 40])
def test_a_name_that_dns_can_not_say_is_left_out_and_the_others_are_answered(name):
    there = lease(name, "10.89.1.2/24", aliases=("web",))
    zone = Zone({"red": network("red", 1)}, {"red": [there]})
    wire = dns.message.make_query("2.1.89.10.in-addr.arpa", "PTR").to_wire()
    answer = dns.message.from_wire(decide(wire, network="red", source="10.89.1.2", zone=zone))
    assert answer.rcode() == dns.rcode.NOERROR
    assert "web." in [one.to_text() for one in answer.answer[0]]
