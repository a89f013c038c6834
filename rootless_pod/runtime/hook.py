"""One OCI hook, run for the OCI runtime: bounded in time with all its children, and its failure written down.

crun and runc differ in what they keep of a hook's words, in what they name, and in what a time limit ends. So what they
are given is this file as a program with one argument, a JSON object: ``stage``, ``file`` (which describes the hook),
``path``, ``args``, ``env``, ``timeout`` (seconds) and ``log``. A failure goes to ``log`` as one JSON line. What happens
before the container runs fails the start; after it (poststart, poststop) a failure is reported and life goes on, as the
runtime-spec 1.0 wants.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if _PACKAGE not in sys.path:
    sys.path.append(_PACKAGE)

from rootless_pod import jsontext  # noqa: E402 - the path to it is known only now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEPT_BYTES = 2000
_LATE = ("poststart", "poststop")
TIMED_OUT = 124


def run(wanted: dict[str, Any]) -> int:
    """Run the hook and return its exit code (128 + n for a signal, 124 where it took too long)."""
    output = os.open(f"{wanted['log']}.out", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    begin = os.fstat(output).st_size
    try:
        pid = os.posix_spawn(
            wanted["path"],
            wanted["args"] or [wanted["path"]],
            dict(one.partition("=")[::2] for one in wanted["env"]),
            file_actions=[(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)],
            setsid=True,
        )
    except OSError as cause:
        return _failed(wanted, 127, cause.strerror or str(cause))
    code = _wait(pid, wanted["timeout"])
    if code == 0:
        return 0
    words = os.pread(output, _KEPT_BYTES, max(begin, os.fstat(output).st_size - _KEPT_BYTES))
    return _failed(wanted, code, words.decode(errors="replace"))


def _wait(pid: int, timeout_seconds: float) -> int:
    """Wait for the hook; end it and all of its session that it left in its process group when the time is over."""
    handle = os.pidfd_open(pid)
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    deadline = time.monotonic() + timeout_seconds
    ready = poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
    if not ready:
        os.killpg(pid, signal.SIGKILL)
    _pid, status = os.waitpid(pid, 0)
    if not ready:
        return TIMED_OUT
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _failed(wanted: dict[str, Any], code: int, words: str) -> int:
    record = {key: wanted[key] for key in ("stage", "file", "path", "timeout")}
    line = jsontext.dumps({**record, "code": code, "words": " ".join(words.split())})
    fd = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.write(fd, f"{line}\n".encode())
    os.close(fd)
    return 0 if wanted["stage"] in _LATE else code


def read_failures(log: str) -> list[dict[str, Any]]:
    """Return what failed so far, oldest first."""
    try:
        with open(log, "rb") as file:
            return [jsontext.loads(line) for line in file.read().splitlines() if line.endswith(b"}")]
    except FileNotFoundError:
        return []


def wrapped(stage: str, file: str, hook: dict[str, Any], *, log: str, timeout_seconds: int) -> dict[str, Any]:
    """Return the runtime-spec's object that runs ``hook`` (another such object) through this file."""
    wanted = {
        "stage": stage,
        "file": file,
        "path": hook["path"],
        "args": hook.get("args") or [],
        "env": hook.get("env") or [],
        "timeout": hook.get("timeout") or timeout_seconds,
        "log": log,
    }
    # The bundle as a word of its own: by it, what a killed start left running is found and ended.
    program = [sys.executable, "-I", "-S", "-X", "utf8", os.path.abspath(__file__)]
    argv = [*program, jsontext.dumps(wanted), os.path.dirname(log)]
    # The runtime's own limit is for the case that this process is stopped.
    return {"path": sys.executable, "args": argv, "timeout": wanted["timeout"] + 10}


if __name__ == "__main__":
    sys.exit(run(jsontext.loads(sys.argv[1])))
