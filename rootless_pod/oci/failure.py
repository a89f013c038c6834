"""The words of an OCI runtime: its JSON log, and what a failure means to the person who ran the command.

Pure: no I/O. Used by ``runtime/`` (which calls the runtime) and ``monitor/`` (whose monitor calls it). Hot.
Source: messages of runc 1.1.5 and crun 1.8.1, tried one by one; exit codes as podman and docker give them.
"""

from __future__ import annotations

from rootless_pod import jsontext
from rootless_pod.errors import HostUnready, NotFound, ProgramFailed, Refused, RpodError

CANNOT_INVOKE = 126
COMMAND_NOT_FOUND = 127

_NOT_FOUND = ("executable file not found", "no such file or directory", "not found in $path")
_NOT_ALLOWED = ("permission denied", "operation not permitted", "is a directory", "exec format error")
_MOUNT_REMEDY = "mount a file over a file and a directory over a directory: look which of them the image has there"
_ERROR_LEVELS = ("error", "fatal", "panic")
# What runtimes say before they come to the point.
_PREAMBLES = (
    "OCI runtime error: ",
    "runc create failed: ",
    "runc run failed: ",
    "unable to start container process: ",
    "exec failed: ",
    "error during container init: ",
    "exec: ",
)
_OPENINGS = (
    "executable file `",
    "open executable `",
    "open `",
    "executable path `",
    "exec `",
    "exec container process `",
)


def last_message(log_text: str) -> str:
    """Return the last error of a runtime's output: JSON lines (``--log-format=json``) or plain lines; "" if none."""
    fallback = ""
    for line in reversed(log_text.splitlines()):
        text = line.strip()
        if not text:
            continue
        try:
            entry = jsontext.loads(text)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            fallback = fallback or text
        elif entry.get("level", "error") in _ERROR_LEVELS and entry.get("msg"):
            return one_sentence(str(entry["msg"]))
        elif entry.get("msg"):
            fallback = fallback or str(entry["msg"])
    return one_sentence(fallback)


def one_sentence(message: str) -> str:
    """Drop what a runtime says before it comes to the point, a trailing full stop and line breaks."""
    text = " ".join(message.split())
    if text.startswith("time="):  # logrus' text form: time="…" level=error msg="…"
        _before, found, after = text.partition(' msg="')
        text = after.removesuffix('"').replace('\\"', '"') if found else text
    shortened = True
    while shortened:
        shortened = False
        for preamble in _PREAMBLES:
            if text.startswith(preamble):
                text = text[len(preamble) :]
                shortened = True
    return text.rstrip(".")


def failure_of(message: str, *, runtime: str, doing: str, command: str | None = None) -> RpodError:
    """Turn a runtime's message into the error to raise.

    ``doing`` names the action and its object, e.g. ``create container 3f2a…``; ``command`` is the program that was to
    run, for messages that do not name it. Exit code 127 for a command that is
    not there, 126 for all else that kept the command from running, 125 for a host that can't run this runtime.
    """
    text = one_sentence(message)
    lower = text.lower()
    host = _host_failure(text, lower, runtime=runtime, doing=doing)
    if host is not None:
        return host
    if "a directory" in lower and ("mount `" in lower or "error mounting" in lower):
        return Refused(f"cannot {doing}: {text}", remedy=_MOUNT_REMEDY, exit_code=CANNOT_INVOKE)
    command = command_in(text) or (command if lower.startswith(("open executable", "executable path")) else None)
    if any(phrase in lower for phrase in _NOT_FOUND):
        if command is None:
            remedy = "the container can't have that path: change the option that asks for it"
            return NotFound(f"cannot {doing}: {text}", remedy=remedy, exit_code=COMMAND_NOT_FOUND)
        words = f'command "{command}" was not found in the container'
        return NotFound(words, remedy="check its name and the PATH of the image", exit_code=COMMAND_NOT_FOUND)
    why = next((phrase for phrase in _NOT_ALLOWED if phrase in lower), None)
    if why is None:
        return ProgramFailed(f"cannot {doing}: {text or f'{runtime} gave no reason'}", exit_code=CANNOT_INVOKE)
    if command is None:
        return Refused(f"cannot {doing}: {text}", exit_code=CANNOT_INVOKE)
    return Refused(
        f'command "{command}" cannot be executed: {why}',
        remedy="name a program for this machine that has its execute bit set",
        exit_code=CANNOT_INVOKE,
    )


def _host_failure(text: str, lower: str, *, runtime: str, doing: str) -> HostUnready | None:
    """Recognise that the host, not the container, is at fault."""
    if "hybrid mode not supported" in lower:
        remedy = "use --runtime runc, or boot with systemd.unified_cgroup_hierarchy=1"
        return HostUnready(f"{runtime} refuses this host: {text}", remedy=remedy)
    if "cgroup" in lower and any(word in lower for word in ("permission denied", "no cgroup mount", "read-only")):
        remedy = "use --cgroups=disabled, or log in with a delegated cgroup (run: rpod doctor)"
        return HostUnready(f"cannot {doing}: {runtime}: {text}", remedy=remedy)
    if "keyring" in lower and "quota exceeded" in lower:
        remedy = "stop some containers, or write keyring=false below [containers] in your containers.conf"
        return HostUnready(f"cannot {doing}: no kernel keyring is left for you (kernel.keys.maxkeys)", remedy=remedy)
    return None


def command_in(text: str) -> str | None:
    """Return the command a message complains of, if it is a complaint about executing one."""
    # runc: `"nope": executable file not found in $PATH`, `"/x": stat /x: no such file or directory`
    if text.startswith('"'):
        name, closed, rest = text[1:].partition('": ')
        return name if closed and rest else None
    # crun: executable file `nope` not found in $PATH: No such file or directory
    for opening in _OPENINGS:
        if text.startswith(opening):
            return text[len(opening) :].partition("`")[0]
    return None
