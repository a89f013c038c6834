"""What a monitor is asked for and what it answers. Hot: imports nothing of weight.

A monitor is the process that stays beside a container when the command that started it has ended: it holds the
container's standard streams, writes the log and the exit file, and runs the exit command.
"""

from __future__ import annotations

from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOG_DRIVERS = ("k8s-file", "json-file", "journald", "none", "passthrough")
"""``json-file`` is podman's alias of ``k8s-file``."""


class MonitorRequest(Frozen):
    """One container to create under a monitor. All paths are absolute.

    ``runtime_argv`` is ``Runtime.global_argv()``. ``bundle`` holds ``config.json`` and receives ``attach``, ``ctl``,
    ``winsz``, ``pidfile``, ``conmon.pid``, ``conmon.log`` and ``oci-log``. ``persist_dir`` (made if missing)
    receives ``exit`` and ``oom``.
    ``leave_stdin_open`` keeps the container's standard input when a client leaves (detaches, or is killed): then the
    end of a client's input never reaches the container. Without it the first client that leaves closes it, and typing
    after a new attach reaches nobody. None means True with a terminal, and False without one.
    ``sync_log`` brings the log to the disk before the container counts as ended; without it a power cut may cost lines.
    ``keep_fds`` are descriptors the monitor holds open until the container has ended or it dies itself (no container
    process ever has them), such as the write end of a pipe whose closing ends the network helper. ``preserve_fds``
    become 3, 4, … in the container.
    ``exit_command`` is an argv (absolute program) that the monitor runs once the exit file is written.
    ``notify_socket`` is where words that reach ``BUNDLE/notify/notify.sock`` (made by the monitor) are handed on to.
    ``env`` is the environment of monitor, runtime and exit command; None is ours.
    """

    container_id: str
    name: str
    bundle: str
    runtime_path: str
    runtime_argv: tuple[str, ...]
    exit_dir: str
    persist_dir: str = ""
    log_driver: str = "k8s-file"
    log_path: str = ""
    log_size_max: int | None = None
    log_tag: str = ""
    sync_log: bool = False
    terminal: bool = False
    stdin_open: bool = False
    leave_stdin_open: bool | None = None
    exit_command: tuple[str, ...] = ()
    keep_fds: tuple[int, ...] = ()
    preserve_fds: tuple[int, ...] = ()
    timeout_seconds: int | None = None
    no_new_keyring: bool = False
    no_pivot: bool = False
    notify_socket: str = ""
    env: dict[str, str] | None = None


class Monitored(Frozen):
    """A created container: ``pid`` is its first process, ``conmon_started`` the monitor's start time in clock ticks."""

    pid: int
    conmon_pid: int
    conmon_started: int | None


class ExecRequest(Frozen):
    """One process to run inside a running container, under a monitor of its own.

    ``directory`` is an empty directory (made if missing) that belongs to this session alone: it receives the process
    file, ``attach``, ``ctl``, ``exits/CONTAINER_ID``. ``process`` is the runtime-spec's ``process`` object.
    With ``attached`` the session has an ``Attachment``; otherwise it runs on by itself (``exec -d``).
    ``size`` is (rows, columns) of the terminal at its start.
    """

    container_id: str
    session_id: str
    directory: str
    runtime_path: str
    runtime_argv: tuple[str, ...]
    process: dict[str, Any]
    terminal: bool = False
    stdin_open: bool = False
    attached: bool = True
    size: tuple[int, int] | None = None
    exit_command: tuple[str, ...] = ()
    preserve_fds: tuple[int, ...] = ()
    env: dict[str, str] | None = None


class ExitStatus(Frozen):
    """How a container ended.

    ``code`` is 128 + n for a signal, and -1 where the monitor died without writing it (``known`` is False then).
    ``finished_ns`` counts from the epoch; ``oom`` tells that the kernel killed it for memory.
    """

    code: int
    finished_ns: int
    oom: bool = False
    known: bool = True
