"""``--filter`` of containers, where it takes what the filters of images take."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from rootless_pod.commands.filters import matching
from rootless_pod.errors import Usage


def container(age_seconds):
    return SimpleNamespace(id="1", config=SimpleNamespace(created_ns=time.time_ns() - age_seconds * 10**9))


@pytest.mark.parametrize(
    ("until", "taken"), [("1h", True), ("3h", False), ("2020-01-01T00:00:00Z", False), ("30m15s", True)]
)
def test_until_takes_a_duration_or_a_time(until, taken):
    old = container(2 * 3600)
    assert matching([old], [f"until={until}"]) == ([old] if taken else [])


def test_until_refuses_what_is_neither():
    with pytest.raises(Usage, match="neither a time nor a duration"):
        matching([container(0)], ["until=soon"])
