"""The order of the programs, what is remembered, and what is told."""

from __future__ import annotations

import os

import pytest

from rootless_pod.errors import HostUnready
from rootless_pod.slirp import choose
from rootless_pod.slirp.choose import choose_network, forget


class Double:
    """A driver that is never installed: its probe ends before anything is made."""

    def __init__(self, name):
        self.name = name
        self.probes_dir = None
        self.asked = 0

    def features(self):
        self.asked += 1
        raise HostUnready(f"program {self.name} is not installed", remedy=f"apt install {self.name}")


def test_when_none_works_each_reason_and_remedy_is_told_in_order(tmp_path):
    candidates = (Double("first-x"), Double("second-x"))
    choice = choose_network(probes_dir=str(tmp_path), candidates=candidates)
    assert choice.driver is None
    assert choice.reason.index("program first-x") < choice.reason.index("program second-x")
    assert choice.refused == (
        ("first-x", "program first-x is not installed", "apt install first-x"),
        ("second-x", "program second-x is not installed", "apt install second-x"),
    )
    assert os.listdir(tmp_path) == ["network.json"]


class Failing(Double):
    def features(self):
        raise HostUnready(
            f"{self.name} failed: child failed(1); WARNING: IPv6 is experimental (ran: /usr/bin/{self.name} --many words)",
            remedy="load the driver",
        )


def test_the_reason_is_what_the_programs_said_and_not_how_they_were_called(tmp_path):
    choice = choose_network(probes_dir=str(tmp_path), candidates=(Failing("first-x"), Failing("second-x")))
    assert choice.reason == "no network program works here (first-x: child failed(1); second-x: child failed(1))"
    assert "--many words" in choice.refused[0][1]


def test_the_answer_is_asked_for_once_and_again_after_forgetting(tmp_path):
    driver = Double("first-x")
    first = choose_network(probes_dir=str(tmp_path), candidates=(driver,))
    assert choose_network(probes_dir=str(tmp_path), candidates=(driver,)) == first
    assert driver.asked == 1
    forget(str(tmp_path))
    forget(str(tmp_path))
    choose_network(probes_dir=str(tmp_path), candidates=(driver,))
    assert driver.asked == 2


def test_a_program_that_appears_is_tried(tmp_path):
    driver = Double("first-x")
    before = os.environ.get("RPOD_PROGRAM_PATH")
    os.environ["RPOD_PROGRAM_PATH"] = str(tmp_path)
    try:
        choose_network(probes_dir=str(tmp_path), candidates=(driver,))
        (tmp_path / "first-x").write_text("#!/bin/sh\n")
        (tmp_path / "first-x").chmod(0o755)
        choose_network(probes_dir=str(tmp_path), candidates=(driver,))
    finally:
        del os.environ["RPOD_PROGRAM_PATH"]
        if before is not None:
            os.environ["RPOD_PROGRAM_PATH"] = before
    assert driver.asked == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"key":[]}', b"\xff\xfe"])
def test_a_damaged_answer_is_asked_anew(tmp_path, damage):
    (tmp_path / "network.json").write_bytes(damage)
    driver = Double("first-x")
    choose_network(probes_dir=str(tmp_path), candidates=(driver,))
    assert driver.asked == 1


def test_pasta_is_preferred():
    assert [driver.name for driver in choose.drivers(None)] == ["pasta", "slirp4netns"]
