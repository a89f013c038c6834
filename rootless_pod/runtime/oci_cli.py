"""crun and runc: one command line, two dialects. Hot.

Source: the OCI runtime command line interface; runc 1.1.5 and crun 1.8.1, tried call by call.
"""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import Conflict, Corrupt, NotFound, ProgramFailed
from rootless_pod.oci.failure import CANNOT_INVOKE, failure_of, last_message
from rootless_pod.programs import run as programs
from rootless_pod.runtime.driver import RuntimeState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.programs.run import Completed

CALL_TIMEOUT_SECONDS = 60.0
PROGRAM_ANNOTATION = "run.oci.seccomp_bpf_data"
"""crun's annotation for a compiled seccomp filter, base64. Source: crun(1), since 0.21."""
# What says "there is no such container": crun's three forms, runc's.
_UNKNOWN = ("does not exist", "error opening file", "container not found", "cannot open directory")
# What says "it has stopped": crun and runc, on kill, pause and exec.
_STOPPED = ("not running", "is stopped", "process already finished", "no such process", "container not running")


def program_text(program: bytes) -> str:
    """Return a compiled seccomp filter as the annotation holds it."""
    import binascii

    return binascii.b2a_base64(program, newline=False).decode()


class OciRuntime:
    """A runtime program with the runtime-spec's command line, and the directory it keeps its states in.

    ``cgroup_manager`` is crun's ``--cgroup-manager`` (``cgroupfs`` or ``disabled``); runc has no such choice: it goes
    without a cgroup where it can't write one, and is told ``--rootless=true`` for that.
    """

    def __init__(self, name: str, path: str, root: str, *, cgroup_manager: str = "cgroupfs") -> None:
        """Keep what each call needs; nothing is started. ``flags`` are what the user wants to go with every call."""
        self.flags: tuple[str, ...] = ()
        self.takes_program = False
        self.name = name
        self.path = path
        self.root = root
        self.cgroup_manager = cgroup_manager

    def global_argv(self) -> tuple[str, ...]:
        """Return the arguments that go before the runtime's subcommand, the same for each call."""
        if self.name == "runc":
            return ("--root", self.root, "--rootless=true", *self.flags)
        return ("--root", self.root, f"--cgroup-manager={self.cgroup_manager}", *self.flags)

    def argv(self, *arguments: str, log_path: str | None = None) -> tuple[str, ...]:
        """Return the whole command line of one call; with ``log_path`` errors go there as JSON lines."""
        log = ("--log-format=json", "--log", log_path) if log_path else ("--log-format=json",)
        return (self.path, *self.global_argv(), *log, *arguments)

    def exec_argv(self, log_path: str, *arguments: str) -> tuple[str, ...]:
        """Return the arguments (without the program) of ``exec`` in the foreground; its failures go to ``log_path``."""
        return self.argv("exec", *arguments, log_path=log_path)[1:]

    def start(self, container_id: str, *, log_path: str | None = None) -> None:
        """Run the process of a created container (exit code 126 or 127 when it can't be executed).

        Raises:
            NotFound: no such container, or (127) no such command in it.
            Refused, ProgramFailed: the command can't be executed (126).
        """
        completed = self._run("start", container_id, log_path=log_path)
        if completed.code != 0:
            words = self._words(completed, log_path)
            self._check_known(container_id, words)
            raise failure_of(words, runtime=self.name, doing=f"start container {container_id[:12]}")

    def kill(self, container_id: str, signal: int, *, all_processes: bool = False) -> None:
        """Send ``signal`` to the first process, or to every process (where the container has a cgroup).

        Raises:
            NotFound: no such container.
            Conflict: it is not running.
        """
        everyone = ("--all",) if all_processes else ()
        self._check(self._run("kill", *everyone, container_id, str(signal)), container_id, "send a signal to")

    def delete(self, container_id: str, *, force: bool = False) -> None:
        """Forget the container; with ``force`` kill it first and be content where there is none.

        Raises:
            NotFound: no such container (without ``force``).
            Conflict: it is still running (without ``force``).
        """
        completed = self._run("delete", *(("--force",) if force else ()), container_id)
        if completed.code == 0:
            return
        words = self._words(completed, None)
        if force and _says(words, _UNKNOWN):
            return
        self._check_known(container_id, words)
        if not force and ("stopped" in words or "running" in words):
            raise Conflict(f"container {container_id[:12]} is still running: {words}", remedy="stop it first")
        raise ProgramFailed(f"cannot delete container {container_id[:12]}: {self.name}: {words}")

    def state(self, container_id: str) -> RuntimeState | None:
        """Return the state, or None where the runtime knows no such container.

        Raises:
            ProgramFailed: the runtime failed for another reason.
            Corrupt: its answer is no state.
        """
        completed = self._run("state", container_id)
        if completed.code != 0:
            words = self._words(completed, None)
            if _says(words, _UNKNOWN):
                return None
            raise ProgramFailed(f"cannot read the state of container {container_id[:12]}: {self.name}: {words}")
        return parse_state(completed.stdout, runtime=self.name)

    def pause(self, container_id: str) -> None:
        """Freeze every process of the container (needs a cgroup of our own)."""
        self._check(self._run("pause", container_id), container_id, "pause")

    def resume(self, container_id: str) -> None:
        """Undo ``pause``."""
        self._check(self._run("resume", container_id), container_id, "resume")

    def processes(self, container_id: str) -> tuple[int, ...]:
        """Return the pids of the container's processes, in our pid namespace (needs a cgroup of our own)."""
        completed = self._run("ps", "--format", "json", container_id)
        self._check(completed, container_id, "list the processes of")
        try:
            return tuple(int(pid) for pid in jsontext.loads(completed.stdout) or ())
        except (ValueError, TypeError) as cause:
            raise Corrupt(f"{self.name} ps answered no list of pids: {completed.stdout[:200]!r}") from cause

    def update(self, container_id: str, resources: dict[str, Any]) -> None:
        """Change the limits of a running container (runtime-spec ``linux.resources``)."""
        argv = self.argv("update", "--resources", "-", container_id)
        feed = jsontext.dumps(resources).encode()
        completed = programs.run(argv, stdin=feed, timeout_seconds=CALL_TIMEOUT_SECONDS)
        self._check(completed, container_id, "change the limits of")

    def _run(self, *arguments: str, log_path: str | None = None) -> Completed:
        return programs.run(self.argv(*arguments, log_path=log_path), timeout_seconds=CALL_TIMEOUT_SECONDS)

    def _words(self, completed: Completed, log_path: str | None) -> str:
        """Return the runtime's own words for a failure: its log, else what it printed."""
        text = ""
        if log_path is not None:
            try:
                with open(log_path, encoding="utf-8", errors="replace") as log:
                    text = log.read()
            except OSError:
                pass
        printed = completed.stderr.decode(errors="replace") or completed.stdout.decode(errors="replace")
        return last_message(text) or last_message(printed) or f"exit code {completed.code}"

    def _check_known(self, container_id: str, words: str) -> None:
        if _says(words, _UNKNOWN):
            raise NotFound(f"{self.name} knows no container {container_id[:12]}", exit_code=CANNOT_INVOKE)

    def _check(self, completed: Completed, container_id: str, doing: str) -> None:
        """Map the failure of an action on an existing container."""
        if completed.code == 0:
            return
        words = self._words(completed, None)
        self._check_known(container_id, words)
        if _says(words, _STOPPED):
            raise Conflict(f"cannot {doing} container {container_id[:12]}: it is not running")
        raise ProgramFailed(f"cannot {doing} container {container_id[:12]}: {self.name}: {words}")


def parse_state(answer: bytes, *, runtime: str) -> RuntimeState:
    """Decode the answer of ``state``.

    Raises:
        Corrupt: it is not a JSON object with a status.
    """
    try:
        state = jsontext.loads(answer)
        return RuntimeState(
            status=str(state["status"]),
            pid=int(state.get("pid") or 0),
            bundle=str(state.get("bundle", "")),
            annotations=dict(state.get("annotations") or {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise Corrupt(f"{runtime} state answered no state: {answer[:200]!r}") from cause


def _says(words: str, phrases: tuple[str, ...]) -> bool:
    lower = words.lower()
    return any(phrase in lower for phrase in phrases)


def runtime_name(path: str) -> str:
    """Return which dialect the program at ``path`` speaks, by its name (``crun`` unless it is named after runc)."""
    return "runc" if "runc" in os.path.basename(path) else "crun"
