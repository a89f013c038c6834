"""One action on many containers by several processes at once; imported where there are many.

Stopping a container is mostly waiting, and removing one mostly the kernel's work: processes share both. They are
forked, so that each has its own copy of all that was found out before, and take their containers one after the other.
"""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import RpodError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Action = Callable[[str], str | None]

MOST_WORKERS = 32
WORKERS_A_PROCESSOR = 4
_NUMBER_BYTES = 4
MOST_AT_ONCE = 65536 // _NUMBER_BYTES // 2
"""So many numbers fit into a pipe."""


def for_each_at_once(ids: list[str], action: Action) -> int:
    """Run ``action`` on each id, print what it returns in the order of ``ids``; return the last failure's exit code.

    They begin in the order of ``ids``, and end as they do.
    """
    code = 0
    for start in range(0, len(ids), MOST_AT_ONCE):
        code = _for_each(ids[start : start + MOST_AT_ONCE], action) or code
    return code


def _for_each(ids: list[str], action: Action) -> int:
    take, give = os.pipe()
    os.write(give, b"".join(number.to_bytes(_NUMBER_BYTES, "little") for number in range(len(ids))))
    os.close(give)
    results, result = os.pipe()
    count = min(len(ids), max(8, WORKERS_A_PROCESSOR * (os.cpu_count() or 1)), MOST_WORKERS)
    workers = [_fork(take, results, result, ids, action) for _ in range(count)]
    os.close(take)
    os.close(result)
    try:
        code = _collect(results)
    finally:
        os.close(results)
        ended = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers]
    return code or (125 if any(ended) else 0)


def _fork(take: int, results: int, result: int, ids: list[str], action: Action) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 125
    try:
        os.close(results)
        _work(take, result, ids, action)
        code = 0
    except (BrokenPipeError, KeyboardInterrupt):
        code = 130  # nobody waits for the results any more
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _work(take: int, result: int, ids: list[str], action: Action) -> None:
    """Take number by number from the pipe until it is empty, and tell what came of each."""
    while number := os.read(take, _NUMBER_BYTES):
        place = int.from_bytes(number, "little")
        words, code = None, 0
        try:
            words = action(ids[place])
        except RpodError as error:
            from rootless_pod.commands.report import report

            code = report(error)
        os.write(result, jsontext.dumps([place, words, code]).encode() + b"\n")


def _collect(results: int) -> int:
    """Print what comes back, in the order it was asked for; return the last failure's code."""
    done: dict[int, str | None] = {}
    shown = code = 0
    rest = b""
    while part := os.read(results, 65536):
        *lines, rest = (rest + part).split(b"\n")
        for place, words, failed in map(jsontext.loads, lines):
            done[place] = words
            code = failed or code
        while shown in done:
            words = done.pop(shown)
            if words is not None:
                os.write(1, f"{words}\n".encode())
            shown += 1
    return code
