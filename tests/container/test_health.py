"""What a health check's result means, without a container."""

from __future__ import annotations

from typing import Any

import pytest

from rootless_pod.container.health import (
    HEALTHY,
    STARTING,
    UNHEALTHY,
    HealthRequest,
    Result,
    command_of,
    judge,
    parse_test,
    resolve,
)
from rootless_pod.errors import Refused

SECOND = 10**9


def result(code: int, output: str = "") -> Result:
    return Result(started_ns=1_000 * SECOND, finished_ns=1_001 * SECOND, code=code, output=output)


def after(codes: list[int], request: HealthRequest, *, early: int = 0) -> dict[str, Any]:
    """Return the record after checks with these exit codes, the first ``early`` of them in the start period."""
    record: dict[str, Any] = {"Status": STARTING, "FailingStreak": 0, "Log": []}
    for number, code in enumerate(codes):
        record = judge(record, request, result(code), is_startup=False, in_start_period=number < early)
    return record


@pytest.mark.parametrize(
    ("text", "test", "words"),
    [
        ("test -e /ok", ("CMD-SHELL", "test -e /ok"), ("sh", "-c", "test -e /ok")),
        ('["CMD-SHELL", "a b"]', ("CMD-SHELL", "a b"), ("sh", "-c", "a b")),
        ('["/check", "x y"]', ("CMD", "/check", "x y"), ("/check", "x y")),
        ('["CMD", "/check"]', ("CMD", "/check"), ("/check",)),
        ("CMD true a", ("CMD", "true", "a"), ("true", "a")),
        ("[ -e /ok ]", ("CMD-SHELL", "[ -e /ok ]"), ("sh", "-c", "[ -e /ok ]")),
    ],
)
def test_a_check_is_a_line_for_a_shell_or_a_list_of_words(text: str, test: tuple[str, ...], words: object) -> None:
    assert parse_test(text) == test
    assert command_of(parse_test(text)) == words


def test_it_is_unhealthy_after_as_many_failures_in_a_row_as_there_are_retries() -> None:
    request = HealthRequest(test=("CMD", "x"), retries=3)
    assert after([1, 1], request)["Status"] == STARTING
    assert after([1, 1, 1], request)["Status"] == UNHEALTHY
    assert after([1, 1, 0, 1, 1], request)["Status"] == HEALTHY
    assert after([1, 1, 1, 0], request)["FailingStreak"] == 0


def test_failures_in_the_start_period_do_not_count_and_a_success_ends_starting() -> None:
    request = HealthRequest(test=("CMD", "x"), retries=1)
    assert after([1, 1, 1], request, early=3)["Status"] == STARTING
    assert after([1, 1, 1, 1], request, early=3)["Status"] == UNHEALTHY
    assert after([1, 0], request, early=2)["Status"] == HEALTHY


def test_the_log_keeps_the_last_entries_and_the_beginning_of_their_output() -> None:
    request = HealthRequest(test=("CMD", "x"), log_count=2, log_size=4)
    record: dict[str, Any] = {}
    for number in range(3):
        record = judge(record, request, result(number, "abcdefgh\n"), is_startup=False, in_start_period=False)
    assert [(one["ExitCode"], one["Output"]) for one in record["Log"]] == [(1, "abcd"), (2, "abcd")]
    assert record["Log"][0]["Start"] == "1970-01-01T00:16:40Z"
    endless = request.replace(log_count=0, log_size=0)
    assert (
        len(judge(record, endless, result(0, "x" * 900), is_startup=False, in_start_period=False)["Log"][2]["Output"])
        == 900
    )


def test_start_up_passes_after_its_successes_and_fails_after_its_retries() -> None:
    request = HealthRequest(test=("CMD", "x"), startup_test=("CMD", "y"), startup_success=2, startup_retries=2)
    record: dict[str, Any] = {"Status": STARTING}
    for code, status, passed, failed in (
        (1, STARTING, False, False),
        (0, STARTING, False, False),
        (0, HEALTHY, True, False),
    ):
        record = judge(record, request, result(code), is_startup=True, in_start_period=False)
        assert (record["Status"], record["StartupPassed"], record["StartupFailed"]) == (status, passed, failed)
    record = judge({"Failures": 1}, request, result(1), is_startup=True, in_start_period=False)
    assert record["StartupFailed"]
    never = judge(
        {"Failures": 99}, request.replace(startup_retries=0), result(1), is_startup=True, in_start_period=False
    )
    assert not never["StartupFailed"]


def test_options_change_the_images_check_and_an_own_command_replaces_it() -> None:
    image = {"Test": ["CMD", "a"], "Interval": 5 * SECOND, "Retries": 7}
    assert resolve(None, image) == HealthRequest(
        test=("CMD", "a"), interval_ns=5 * SECOND, timeout_ns=30 * SECOND, start_period_ns=0, retries=7
    )
    changed = resolve(HealthRequest(retries=2), image)
    assert changed is not None
    assert (changed.test, changed.interval_ns, changed.retries) == (("CMD", "a"), 5 * SECOND, 2)
    own = resolve(HealthRequest(test=("CMD", "b")), image)
    assert own is not None
    assert (own.test, own.interval_ns, own.retries) == (("CMD", "b"), 30 * SECOND, 3)
    assert resolve(HealthRequest(test=("NONE",)), image) == HealthRequest(test=("NONE",))
    assert resolve(None, {"Test": ["NONE"]}) is None
    assert resolve(None, None) is None


@pytest.mark.parametrize("wish", [HealthRequest(on_failure="kill"), HealthRequest(startup_test=("CMD", "x"))])
def test_what_needs_a_check_is_refused_without_one(wish: HealthRequest) -> None:
    with pytest.raises(Refused, match="health ?check"):
        resolve(wish, None)
