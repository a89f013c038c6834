"""Which networks a filter means, and what templates see of one."""

from __future__ import annotations

import pytest

from rootless_pod.commands.network_rows import LIST_KEYS, PRUNE_KEYS, as_json, for_template, matching, row
from rootless_pod.commands.template import pretty_json, render
from rootless_pod.errors import Usage
from rootless_pod.network.definition import Network, Subnet
from rootless_pod.network.definitions import default_network

ONE = Network(
    name="one",
    id="ab" * 32,
    interface="podman1",
    created="2026-01-02T03:04:05Z",
    subnets=(Subnet(subnet="10.89.0.0/24", gateway="10.89.0.1", lease_range=("10.89.0.9", "10.89.0.19")),),
    labels={"a": "b", "c": ""},
)
TWO = Network(name="two", id="cd" * 32, interface="podman2", created="2999-01-02T03:04:05Z", internal=True)
ALL = [ONE, default_network(), TWO]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ((), ["one", "podman", "two"]),
        (("name=o",), ["one", "podman", "two"]),
        (("name=^o", "name=^t"), ["one", "two"]),
        (("name=^o", "driver=macvlan"), []),
        (("driver=bridge",), ["one", "podman", "two"]),
        (("id=^cd",), ["two"]),
        (("label=a",), ["one"]),
        (("label=a=b", "label=c"), ["one"]),
        (("label=a=c",), []),
        (("label!=a",), ["podman", "two"]),
        (("until=2027-01-01T00:00:00Z",), ["one"]),
        (("dangling=true",), ["two"]),
        (("dangling=false",), ["one", "podman"]),
    ],
)
def test_filters_choose_as_podmans_do(conditions, expected):
    if conditions and conditions[0].startswith("until"):
        found = matching([ONE, TWO], conditions, keys=LIST_KEYS)
    else:
        found = matching(ALL, conditions, keys=LIST_KEYS, used={"one"})
    assert [one.name for one in found] == expected


@pytest.mark.parametrize("condition", ["name", "nosuch=1", "dangling=maybe", "name=(", "until=never"])
def test_other_filters_are_refused(condition):
    with pytest.raises(Usage):
        matching(ALL, (condition,), keys=LIST_KEYS)


def test_prune_knows_fewer_filters():
    with pytest.raises(Usage, match='invalid filter "name"'):
        matching(ALL, ("name=x",), keys=PRUNE_KEYS)


def test_templates_see_every_field():
    form = "{{.Name}} {{.NetworkInterface}} {{.IPv6Enabled}} {{.DNSEnabled}} {{.Labels}} {{.Options}} {{.IPAMOptions}}"
    assert render(form, for_template(ONE)) == "one podman1 false true map[a:b c:] map[] map[driver:host-local]"
    subnets = "{{range .Subnets}}{{.Subnet}} {{.Gateway}} {{.LeaseRange.StartIP}}-{{.LeaseRange.EndIP}}{{end}}"
    assert render(subnets, for_template(ONE)) == "10.89.0.0/24 10.89.0.1 10.89.0.9-10.89.0.19"
    assert render("{{range .Subnets}}{{.LeaseRange}}{{end}}", for_template(default_network())) == "<nil>"
    with pytest.raises(Usage, match="no field .Nosuch"):
        render("{{.Nosuch}}", for_template(ONE))


def test_a_row_has_a_short_id_and_labels_as_text():
    assert (row(ONE, full_id=False)["ID"], row(ONE, full_id=True)["ID"]) == ("ab" * 6, "ab" * 32)
    assert row(ONE, full_id=False)["Labels"] == "a=b,c="


def test_json_keeps_podmans_order():
    text = pretty_json([as_json(ONE)])
    places = [text.index(f'"{key}"') for key in ("name", "id", "driver", "network_interface", "created", "subnets")]
    assert places == sorted(places)
