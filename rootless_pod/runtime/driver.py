"""What every OCI runtime driver can do. Hot: imports nothing of weight.

The monitor, not rpod, calls ``create``: it gets ``path`` and ``global_argv()``. All the rest is called from here.
"""

from __future__ import annotations

from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


class RuntimeState(Frozen):
    """What the runtime says of one container.

    ``status`` is the runtime-spec's ``creating``, ``created``, ``running`` or ``stopped``, or ``paused``.
    ``pid`` is the container's first process in our pid namespace, 0 when it is stopped.
    """

    status: str
    pid: int
    bundle: str = ""
    annotations: dict[str, str] = {}


class Choice(Frozen):
    """The runtime that was taken, why, and what the others lack: (name, reason, remedy)."""

    driver: Runtime
    reason: str
    refused: tuple[tuple[str, str, str], ...] = ()


class Runtime(Protocol):
    """One OCI runtime program with its state directory.

    Every method that names a container raises ``NotFound`` where the runtime knows no such container and
    ``ProgramFailed``, with the runtime's own words, where it fails for another reason.
    """

    name: str
    path: str
    root: str
    flags: tuple[str, ...]
    takes_program: bool
    """Whether it takes the seccomp filter compiled (in ``oci_cli.PROGRAM_ANNOTATION``) instead of as a profile."""

    def global_argv(self) -> tuple[str, ...]:
        """Return the arguments that go before the runtime's subcommand, the same for each call."""

    def exec_argv(self, log_path: str, *arguments: str) -> tuple[str, ...]:
        """Return the arguments (without the program) of ``exec`` in the foreground; its failures go to ``log_path``."""

    def start(self, container_id: str, *, log_path: str | None = None) -> None:
        """Run the process of a created container (exit code 126 or 127 when it can't be executed)."""

    def kill(self, container_id: str, signal: int, *, all_processes: bool = False) -> None:
        """Send a signal; a container that has stopped is ``Conflict``."""

    def delete(self, container_id: str, *, force: bool = False) -> None:
        """Forget the container; with ``force`` kill it first and be content where there is none."""

    def state(self, container_id: str) -> RuntimeState | None:
        """Return the state, or None where the runtime knows no such container."""

    def pause(self, container_id: str) -> None:
        """Freeze every process of the container (needs a cgroup of our own)."""

    def resume(self, container_id: str) -> None:
        """Undo ``pause``."""

    def processes(self, container_id: str) -> tuple[int, ...]:
        """Return the pids of the container's processes, in our pid namespace."""

    def update(self, container_id: str, resources: dict[str, object]) -> None:
        """Change the limits of a running container (runtime-spec ``linux.resources``)."""
