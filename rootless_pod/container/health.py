"""Health checks: what was asked for, what a result means, and the record of both that ``ps`` and ``inspect`` read.

The record is podman's: ``Status``, ``FailingStreak``, ``Log``. It lies beside the container's state and is replaced in
one step. Source: podman 4.3.1, and 5.x for start-up checks and the log's size; Docker image spec 1.2.
"""

from __future__ import annotations

from rootless_pod import jsontext
from rootless_pod.errors import Refused, RpodError, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.linux import procfs
from rootless_pod.state.record import read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.paths import Paths

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"
STATUSES = (STARTING, HEALTHY, UNHEALTHY)
ACTIONS = ("none", "kill", "restart", "stop")
SECOND = 1_000_000_000
DEFAULT_INTERVAL_NS = 30 * SECOND
DEFAULT_TIMEOUT_NS = 30 * SECOND
DEFAULT_RETRIES = 3
DEFAULT_LOG_COUNT = 5
DEFAULT_LOG_SIZE = 500
LOCAL, EVENTS = "local", "events_logger"
_NONE = ("NONE",)


class HealthRequest(Frozen):
    """A health check, and the start-up check before it (``startup_test`` empty: none).

    ``test`` is as in an image: ``("CMD", …)``, ``("CMD-SHELL", text)``, ``("NONE",)``; empty means the image's.
    A number that is None was not given: ``resolve`` puts the image's or podman's default there. An interval of 0 means
    that nothing runs the check by itself. A size or count of 0 has no limit.
    """

    test: tuple[str, ...] = ()
    interval_ns: int | None = None
    timeout_ns: int | None = None
    start_period_ns: int | None = None
    retries: int | None = None
    on_failure: str = "none"
    startup_test: tuple[str, ...] = ()
    startup_interval_ns: int = DEFAULT_INTERVAL_NS
    startup_timeout_ns: int = DEFAULT_TIMEOUT_NS
    startup_retries: int = 0
    startup_success: int = 0
    log_destination: str = LOCAL
    log_count: int = DEFAULT_LOG_COUNT
    log_size: int = DEFAULT_LOG_SIZE


class Result(Frozen):
    """How one check went. ``code`` is -1 where it did not end in time."""

    started_ns: int
    finished_ns: int
    code: int
    output: str


def parse_test(text: str) -> tuple[str, ...]:
    """Return the check as an image would hold it, from ``--health-cmd``: words for a shell, or a JSON list."""
    if text.lower() == "none":
        return _NONE
    if text.startswith("["):
        try:
            words = jsontext.loads(text)
        except ValueError:
            words = None
        if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
            return tuple(words) if words[0] in ("CMD", "CMD-SHELL") else ("CMD", *words)
    kind, _space, rest = text.partition(" ")
    if kind == "CMD":
        return ("CMD", *rest.split())
    return ("CMD-SHELL", rest if kind == "CMD-SHELL" else text)


def command_of(test: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words to run in the container."""
    if test[0] == "CMD-SHELL":
        return ("sh", "-c", " ".join(test[1:]))
    return test[1:] if test[0] == "CMD" else test


def resolve(wanted: HealthRequest | None, image_check: dict[str, Any] | None) -> HealthRequest | None:
    """Return the health check of a container from its options and its image's; None: there is none.

    Raises:
        Refused: an action or a start-up check was asked for, and there is no health check.
    """
    options, inherited = wanted or HealthRequest(), image_check or {}
    test = options.test or tuple(str(word) for word in inherited.get("Test") or ())
    if not test or test == _NONE or not "".join(command_of(test)):
        if options.on_failure != "none":
            raise Refused(
                f"cannot set on-failure action to {options.on_failure} without a health check",
                remedy="give the check with --health-cmd",
            )
        if options.startup_test:
            raise Refused(
                "cannot set a startup healthcheck when there is no regular healthcheck",
                remedy="give the regular check with --health-cmd",
            )
        return HealthRequest(test=_NONE) if options.test == _NONE else None
    if options.test:
        inherited = {}
    return options.replace(
        test=test,
        interval_ns=_number(options.interval_ns, inherited.get("Interval"), DEFAULT_INTERVAL_NS),
        timeout_ns=_number(options.timeout_ns, inherited.get("Timeout"), DEFAULT_TIMEOUT_NS),
        start_period_ns=_number(options.start_period_ns, inherited.get("StartPeriod"), 0),
        retries=_number(options.retries, inherited.get("Retries"), DEFAULT_RETRIES),
    )


def _number(given: int | None, inherited: object, default: int) -> int:
    if given is not None:
        return given
    return inherited if isinstance(inherited, int) and inherited > 0 else default


def is_checked(request: HealthRequest | None) -> bool:
    """Tell whether there is a check to run."""
    return request is not None and request.test != _NONE


def check_numbers(request: HealthRequest) -> None:
    """Refuse numbers that podman refuses.

    Raises:
        Usage: one is too small.
    """
    if request.retries is not None and request.retries < 1:
        raise Usage("healthcheck-retries must be greater than 0", remedy="leave --health-retries out for 3")
    for option, value, least in (
        ("--health-interval", request.interval_ns, 0),
        ("--health-start-period", request.start_period_ns, 0),
        ("--health-timeout", request.timeout_ns, 1),
        ("--health-startup-interval", request.startup_interval_ns, 0),
        ("--health-startup-timeout", request.startup_timeout_ns, 1),
    ):
        if value is not None and value < least:
            raise Usage(f"{option} must be {'greater than 0' if least else '0 seconds or greater'}")


def record_path(paths: Paths, container_id: str) -> str:
    """Return where the record of a container's health lies."""
    return f"{paths.container(container_id)}/health.json"


def read_health(paths: Paths, container_id: str) -> dict[str, Any]:
    """Return the record; what podman shows of a container without one where there is none, or it is damaged."""
    try:
        return read_record(record_path(paths, container_id))
    except (RpodError, OSError):
        return {"Status": "", "FailingStreak": 0, "Log": None}


def shown(paths: Paths, container_id: str) -> dict[str, Any]:
    """Return the part of the record that ``inspect`` shows."""
    record = read_health(paths, container_id)
    return {key: record.get(key) for key in ("Status", "FailingStreak", "Log")}


def begin_record(paths: Paths, container_id: str) -> None:
    """Say that the container has just started; the log of earlier runs stays."""
    before = read_health(paths, container_id)
    write_record(
        record_path(paths, container_id), {"Status": STARTING, "FailingStreak": 0, "Log": before.get("Log") or []}
    )


def judge(
    record: dict[str, Any], request: HealthRequest, result: Result, *, is_startup: bool, in_start_period: bool
) -> dict[str, Any]:
    """Return the record after one more check.

    A failure before the start period is over, or of the start-up check, does not count; start-up has passed
    (``StartupPassed``) after as many successes as asked for, and failed (``StartupFailed``) after as many failures.
    """
    after = {**record, "Log": [] if request.log_destination == EVENTS else _log(record, request, result)}
    good = result.code == 0
    if is_startup:
        key, limit = ("Successes", request.startup_success or 1) if good else ("Failures", request.startup_retries)
        after[key] = record.get(key, 0) + 1
        reached = bool(limit) and after[key] >= limit
        after["StartupPassed"], after["StartupFailed"] = good and reached, not good and reached
        return {**after, "Status": HEALTHY if after["StartupPassed"] else STARTING}
    if good:
        return {**after, "Status": HEALTHY, "FailingStreak": 0}
    if not in_start_period:
        after["FailingStreak"] = record.get("FailingStreak", 0) + 1
        if after["FailingStreak"] >= (request.retries or DEFAULT_RETRIES):
            after["Status"] = UNHEALTHY
    return after


def entry_of(request: HealthRequest, result: Result) -> dict[str, Any]:
    """Return the line of the log for a result."""
    from rootless_pod.oci.moments import rfc3339

    output = result.output.rstrip("\n")
    return {
        "Start": rfc3339(result.started_ns),
        "End": rfc3339(result.finished_ns),
        "ExitCode": result.code,
        "Output": output[: request.log_size] if request.log_size else output,
    }


def _log(record: dict[str, Any], request: HealthRequest, result: Result) -> list[dict[str, Any]]:
    entries = [*(record.get("Log") or []), entry_of(request, result)]
    return entries[-request.log_count :] if request.log_count else entries


def is_watched(bundle: str) -> bool:
    """Tell whether the process that checks the container of ``bundle`` lives."""
    try:
        record = read_record(f"{bundle}/health.pid")
        return procfs.is_alive(int(record["pid"]), record["started"])
    except (RpodError, OSError, LookupError, TypeError, ValueError):
        return False
