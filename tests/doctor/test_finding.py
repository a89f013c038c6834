"""What a finding says, and how good or bad several are together."""

from __future__ import annotations

import os

import pytest

from rootless_pod.doctor.finding import (
    FAILED,
    LIMITED,
    NOTE,
    OK,
    Finding,
    as_administrator,
    from_error,
    install,
    ok,
    useful,
    worst,
)
from rootless_pod.errors import HostUnready


def finding(state: str) -> Finding:
    return Finding(subject="x", state=state, text="y")


@pytest.mark.parametrize(
    ("states", "expected"),
    [((), OK), ((OK, NOTE), NOTE), ((NOTE, LIMITED, OK), LIMITED), ((FAILED, LIMITED, OK), FAILED)],
)
def test_the_worst_of_several_counts(states: tuple[str, ...], expected: str) -> None:
    assert worst([finding(state) for state in states]) == expected


def test_an_error_becomes_its_sentence_and_its_remedy() -> None:
    error = HostUnready("no tun device", remedy="modprobe tun")
    made = from_error("network", LIMITED, error)
    assert (made.subject, made.state, made.text, made.remedy) == ("network", LIMITED, "no tun device", "modprobe tun")


def test_no_remedy_sends_back_to_the_doctor() -> None:
    for circular in ("", "run: rpod doctor"):
        assert "doctor" not in useful(circular)
        assert useful(circular)


def test_what_works_needs_no_remedy() -> None:
    assert ok("x", "works").remedy == ""


def test_the_package_of_newuidmap_has_another_name() -> None:
    assert install("newuidmap").split()[-1] in ("uidmap", "shadow-utils", "shadow", "shadow-uidmap")
    assert install("conmon").split()[-1] == "conmon"


def test_only_others_than_root_ask_an_administrator() -> None:
    said = as_administrator("modprobe fuse")
    assert said.endswith("modprobe fuse")
    assert ("ask" in said) == (os.geteuid() != 0)
