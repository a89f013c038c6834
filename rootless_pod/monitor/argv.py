"""conmon's command lines: pure functions from a request to an argv. Hot.

Source: conmon 2.1.6 (cli.c, conmon.8); 2.1.6 is the oldest version every flag here was tried with.
"""

from __future__ import annotations

from rootless_pod.errors import Usage
from rootless_pod.monitor.driver import LOG_DRIVERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.monitor.driver import ExecRequest, MonitorRequest


def create_argv(request: MonitorRequest, conmon_path: str) -> tuple[str, ...]:
    """Return conmon's argv for a new container."""
    argv = [conmon_path, "--api-version", "1", "-c", request.container_id, "-u", request.container_id]
    argv += ["-r", request.runtime_path, "-b", request.bundle, "-p", f"{request.bundle}/pidfile"]
    argv += ["-n", request.name, "--exit-dir", request.exit_dir]
    if request.persist_dir:
        argv += ["--persist-dir", request.persist_dir]
    argv += ["--full-attach", "--log-level", "error", *log_argv(request)]
    argv += _streams_argv(terminal=request.terminal, stdin_open=request.stdin_open)
    if request.terminal if request.leave_stdin_open is None else request.leave_stdin_open:
        argv.append("--leave-stdin-open")
    if request.no_new_keyring:
        argv.append("--no-new-keyring")
    if request.no_pivot:
        argv.append("--no-pivot")
    if request.timeout_seconds:
        argv += ["--timeout", str(request.timeout_seconds)]
    if request.preserve_fds:
        argv += ["--runtime-opt", "--preserve-fds", "--runtime-opt", str(len(request.preserve_fds))]
    if request.notify_socket:
        argv.append(f"--sdnotify-socket={request.notify_socket}")
    argv += _runtime_argv(request.runtime_argv, request.bundle)
    argv += ["--conmon-pidfile", f"{request.bundle}/conmon.pid"]
    return (*argv, *_exit_command_argv(request.exit_command))


def exec_argv(request: ExecRequest, conmon_path: str) -> tuple[str, ...]:
    """Return conmon's argv for one more process in a running container."""
    directory = request.directory
    argv = [conmon_path, "--api-version", "1", "-e", "-c", request.container_id, "-u", request.session_id]
    argv += ["-r", request.runtime_path, "-b", directory, "-p", f"{directory}/pidfile", "-n", request.session_id]
    argv += ["--exit-dir", f"{directory}/exits", "--exec-process-spec", f"{directory}/process.json"]
    argv += ["--full-attach", "--log-level", "error", "-l", "none"]
    if request.attached:
        argv.append("--exec-attach")
    argv += _streams_argv(terminal=request.terminal, stdin_open=request.stdin_open)
    if request.preserve_fds:
        argv += ["--runtime-opt", "--preserve-fds", "--runtime-opt", str(len(request.preserve_fds))]
    argv += _runtime_argv(request.runtime_argv, directory)
    argv += ["--conmon-pidfile", f"{directory}/conmon.pid"]
    return (*argv, *_exit_command_argv(request.exit_command))


def log_argv(request: MonitorRequest) -> tuple[str, ...]:
    """Return conmon's arguments for the log.

    Raises:
        Usage: an unknown driver, or ``passthrough`` with a terminal.
    """
    driver = request.log_driver
    if driver not in LOG_DRIVERS:
        raise Usage(f"unknown log driver {driver}", remedy=f"use one of: {', '.join(LOG_DRIVERS)}")
    if driver == "passthrough" and request.terminal:
        raise Usage("log driver passthrough does not go with a terminal", remedy="leave out --tty")
    if driver in ("none", "passthrough"):
        return ("-l", driver)
    # Without --no-sync-log conmon calls fdatasync before it writes the exit file: 7 ms and more of each short run.
    sync = () if request.sync_log else ("--no-sync-log",)
    arguments = ["-l", "journald" if driver == "journald" else f"k8s-file:{request.log_path}"]
    if request.log_size_max is not None and driver != "journald":
        arguments += ["--log-size-max", str(request.log_size_max)]
    if request.log_tag:
        arguments += ["--log-tag", request.log_tag]
    return (*arguments, *sync)


def _streams_argv(*, terminal: bool, stdin_open: bool) -> list[str]:
    return ["-t"] * terminal + ["-i"] * stdin_open


def _runtime_argv(runtime_argv: tuple[str, ...], directory: str) -> list[str]:
    arguments = [*runtime_argv, "--log-format=json", "--log", f"{directory}/oci-log"]
    return [f"--runtime-arg={argument}" for argument in arguments]


def _exit_command_argv(exit_command: tuple[str, ...]) -> list[str]:
    if not exit_command:
        return []
    argv = ["--exit-command", exit_command[0]]
    for argument in exit_command[1:]:
        argv += ["--exit-command-arg", argument]
    return argv
