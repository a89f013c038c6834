"""A trial can raise, crash, hang or print: the doctor goes on and says so."""

from __future__ import annotations

import os
import signal
import time

import pytest

from rootless_pod.doctor.child import findings_of_child
from rootless_pod.doctor.finding import FAILED, LIMITED, Finding, ok
from rootless_pod.errors import HostUnready


def test_the_findings_of_a_trial_come_back_as_they_were() -> None:
    sent = [ok("a", "works"), Finding(subject="ü", state=LIMITED, text="x" * 200_000, remedy="r\nr")]
    assert findings_of_child("s", lambda: sent) == sent


def test_an_expected_failure_keeps_its_remedy() -> None:
    def check() -> list[Finding]:
        raise HostUnready("not here", remedy="put it there")

    (found,) = findings_of_child("s", check, state=LIMITED)
    assert found == Finding(subject="s", state=LIMITED, text="not here", remedy="put it there")


def test_a_bug_in_a_trial_is_a_finding() -> None:
    def check() -> list[Finding]:
        raise IndexError("list index out of range")

    (found,) = findings_of_child("s", check)
    assert found.state == FAILED
    assert "IndexError" in found.text


def test_a_trial_that_is_killed_is_a_finding() -> None:
    def check() -> list[Finding]:
        os.kill(os.getpid(), signal.SIGKILL)
        return []

    (found,) = findings_of_child("s", check)
    assert found.state == FAILED
    assert "-9" in found.text


def test_a_trial_that_hangs_is_ended_and_told() -> None:
    def check() -> list[Finding]:
        time.sleep(100)
        return []

    before = time.monotonic()
    (found,) = findings_of_child("s", check, seconds=0.3)
    assert time.monotonic() - before < 10
    assert "no answer" in found.text


def test_a_process_left_behind_does_not_hold_the_doctor_up() -> None:
    def check() -> list[Finding]:
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
        return [ok("s", "works")]

    before = time.monotonic()
    assert findings_of_child("s", check) == [ok("s", "works")]
    assert time.monotonic() - before < 2


def test_what_a_trial_prints_is_not_seen(capfd: pytest.CaptureFixture[str]) -> None:
    def check() -> list[Finding]:
        os.write(1, b"out")
        os.write(2, b"err")
        return []

    assert findings_of_child("s", check) == []
    assert capfd.readouterr() == ("", "")
