"""Capabilities and masked paths. Origin: podman 4.3.1."""

from __future__ import annotations

import pytest

from rootless_pod.errors import Refused
from rootless_pod.linux.capabilities import ALL_BITS, NAMES, bits_of, names_of, status_bits
from rootless_pod.spec.host import HostFacts
from rootless_pod.spec.request import SpecRequest
from rootless_pod.spec.security import (
    DEFAULT_CAPABILITIES,
    MASKED_PATHS,
    READONLY_PATHS,
    choose_capabilities,
    choose_paths,
    parse_security,
)  # fmt: skip


def choose(uid=0, bits=ALL_BITS, **values):
    return choose_capabilities(SpecRequest(**values), uid, HostFacts(capability_bits=bits))


def test_names_are_taken_in_every_spelling():
    assert "CAP_NET_ADMIN" in choose(cap_add=("net_admin",)).bounding
    assert "CAP_NET_ADMIN" in choose(cap_add=("CAP_NET_ADMIN,sys_time",)).bounding


def test_all_can_be_dropped_and_some_added():
    assert choose(cap_drop=("all",), cap_add=("chown",)).bounding == ("CAP_CHOWN",)


def test_all_can_be_added_and_some_dropped():
    found = choose(cap_add=("ALL",), cap_drop=("CHOWN",))
    assert set(found.bounding) == set(NAMES) - {"CAP_CHOWN"}


def test_what_we_do_not_have_is_left_out_of_defaults_and_refused_when_asked_for():
    bits = bits_of(DEFAULT_CAPABILITIES) & ~bits_of(("CAP_KILL",))
    assert "CAP_KILL" not in choose(bits=bits).bounding
    with pytest.raises(Refused, match="CAP_SYS_TIME"):
        choose(bits=bits, cap_add=("SYS_TIME",))
    assert set(choose(bits=bits, privileged=True).bounding) == set(names_of(bits))


def test_another_users_capabilities_are_what_was_added():
    found = choose(uid=7, cap_add=("NET_RAW",))
    assert found.ambient == found.effective == found.permitted == ("CAP_NET_RAW",)
    assert choose(uid=7).effective == ()
    assert choose(uid=7, privileged=True).effective == ()


def test_status_lines_are_read():
    assert status_bits("CapBnd", "Name:\tx\nCapBnd:\t00000000800405fb\n") == 0x800405FB
    assert names_of(0x800405FB) == tuple(sorted(DEFAULT_CAPABILITIES))


def paths(*options, **values):
    return choose_paths(parse_security(options, HostFacts()), **{"privileged": False, "bound_sys": False, **values})


def test_mask_adds_and_unmask_takes_away():
    assert paths() == (MASKED_PATHS, READONLY_PATHS)
    masked, readonly = paths("mask=/proc/cpuinfo:/a/", "unmask=/proc/acpi:/proc/sys")
    assert masked[-2:] == ("/proc/cpuinfo", "/a")
    assert "/proc/acpi" not in masked
    assert "/proc/sys" not in readonly
    assert [
        path for path in (*paths("unmask=/proc/*")[0], *paths("unmask=/proc/*")[1]) if path.startswith("/proc")
    ] == []
    assert paths("unmask=ALL", "mask=/x") == (("/x",), ())
    assert paths("systempaths=unconfined") == ((), ())
    assert paths(privileged=True) == ((), ())
    assert "/sys/kernel" in paths(bound_sys=True)[0]


def test_options_that_ask_for_nothing_are_accepted():
    options = parse_security(
        ("label=disable", "apparmor=unconfined", "no-new-privileges:false", "proc-opts=hidepid=2,subset=pid"),
        HostFacts(),
    )
    assert not options.no_new_privileges
    assert options.proc_options == ("hidepid=2", "subset=pid")
