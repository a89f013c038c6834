"""From ``--health-…`` to a ``HealthRequest``."""

from __future__ import annotations

import os

from rootless_pod.commands.quantity import parse_duration
from rootless_pod.container.health import ACTIONS, EVENTS, LOCAL, HealthRequest, check_numbers, parse_test
from rootless_pod.errors import NotFound, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.commands.declare import Call

# Option → field of the request; for durations in ns, and for numbers.
_DURATIONS = {
    "health_interval": "interval_ns",
    "health_timeout": "timeout_ns",
    "health_start_period": "start_period_ns",
    "health_startup_interval": "startup_interval_ns",
    "health_startup_timeout": "startup_timeout_ns",
}
_NUMBERS = {
    "health_retries": "retries",
    "health_startup_retries": "startup_retries",
    "health_startup_success": "startup_success",
    "health_max_log_count": "log_count",
    "health_max_log_size": "log_size",
}


def health_request(call: Call) -> HealthRequest:
    """Read the options; what was not given stays open for the image's health check.

    Raises:
        Usage: a value can't be meant, or two contradict each other.
        NotFound: the directory for the log is not there.
    """
    values: dict[str, Any] = {}
    if call.flag("no_healthcheck"):
        if call.text("health_cmd") or call.text("health_startup_cmd"):
            given = "--health-cmd" if call.text("health_cmd") else "--health-startup-cmd"
            raise Usage(f"cannot specify both --no-healthcheck and {given}", remedy="leave one of them out")
        values["test"] = ("NONE",)
    elif call.text("health_cmd"):
        values["test"] = parse_test(call.text("health_cmd"))
    if call.text("health_startup_cmd"):
        values["startup_test"] = parse_test(call.text("health_startup_cmd"))
    for key, field in _DURATIONS.items():
        if key in call.given:
            values[field] = _duration(key, call.text(key))
    for key, field in _NUMBERS.items():
        number = call.number(key)
        if number is not None:
            if number < 0:
                raise Usage(f"--{key.replace('_', '-')} must not be negative")
            values[field] = number
    values["on_failure"] = _action(call.text("health_on_failure"))
    values["log_destination"] = _destination(call.text("health_log_destination"))
    request = HealthRequest(**values)
    check_numbers(request)
    return request


def _duration(key: str, text: str) -> int:
    option = key.replace("_", "-")
    if text == "disable" and key.endswith("interval"):
        return 0
    try:
        if text.isdecimal() and int(text):
            raise ValueError("missing unit in duration")
        return parse_duration(text)
    except ValueError as cause:
        raise Usage(f"--{option} {text!r}: {cause}", remedy="write a time such as 30s or 1m30s") from cause


def _action(text: str) -> str:
    if text not in ("", *ACTIONS):
        raise Usage(f"invalid on-failure action {text!r} for health check", remedy=f"use one of: {', '.join(ACTIONS)}")
    return text or ACTIONS[0]


def _destination(text: str) -> str:
    if text in ("", LOCAL, EVENTS):
        return text or LOCAL
    path = os.path.abspath(text)
    if not os.path.isdir(path):
        raise NotFound(f"--health-log-destination {text}: no such directory", remedy=f"mkdir -p {text}")
    return path
