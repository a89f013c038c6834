"""Trials in throw-away children: whatever a check mounts, joins, imports or breaks ends with its process."""

from __future__ import annotations

import os
import select
import signal
import time

from rootless_pod import jsontext
from rootless_pod.doctor.finding import FAILED, Finding, from_error
from rootless_pod.errors import RpodError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[], list[Finding]]

TRIAL_SECONDS = 120.0
_GRACE_SECONDS = 0.1
_END = b"\n"


def findings_of_child(
    subject: str, check: Check, *, state: str = FAILED, seconds: float = TRIAL_SECONDS
) -> list[Finding]:
    """Run ``check`` in a child and return its findings; an exception or no answer in time is one of ``state``."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _answer_and_exit(subject, check, state, write_end)
    os.close(write_end)
    try:
        data = _read_answer(read_end, time.monotonic() + seconds)
    finally:
        os.close(read_end)
    if data.endswith(_END):
        os.waitpid(pid, 0)
        return [Finding(**row) for row in jsontext.loads(data)]
    ended = _end(pid)
    words = f"no answer within {seconds:.0f} s" if ended is None else f"the trial ended with {ended}"
    return [from_error(subject, state, RpodError(words))]


def _end(pid: int) -> int | None:
    """Return how the child ended by itself; None if it had to be killed (one stuck in the kernel is left to it)."""
    found, status = os.waitpid(pid, os.WNOHANG)
    if not found:
        time.sleep(_GRACE_SECONDS)
        found, status = os.waitpid(pid, os.WNOHANG)
    if found:
        return os.waitstatus_to_exitcode(status)
    os.kill(pid, signal.SIGKILL)
    time.sleep(_GRACE_SECONDS)
    os.waitpid(pid, os.WNOHANG)
    return None


def _answer_and_exit(subject: str, check: Check, state: str, write_end: int) -> None:
    try:
        _be_silent()
        try:
            found = check()
        except RpodError as error:
            found = [from_error(subject, state, error)]
        except Exception as error:
            found = [from_error(subject, state, RpodError(f"{type(error).__name__}: {error}"))]
        view = memoryview(jsontext.dumps([one.as_dict() for one in found]).encode() + _END)
        while view:
            view = view[os.write(write_end, view) :]
    finally:
        os._exit(0)


def _be_silent() -> None:
    """Send what is said while trying nowhere: the findings say it."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _read_answer(read_end: int, deadline: float) -> bytes:
    """Read up to the end mark, the end of file or the deadline (a process left behind may hold the pipe open)."""
    poller = select.poll()
    poller.register(read_end, select.POLLIN)
    data = b""
    while not data.endswith(_END):
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            break
        part = os.read(read_end, 65536)
        if not part:
            break
        data += part
    return data
