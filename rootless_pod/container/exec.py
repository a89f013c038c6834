"""One more process in a running container. HOT.

Without a terminal and in the foreground, the runtime itself joins the process to our streams: nothing is copied and no
monitor is needed. With a terminal, or detached, a monitor of its own holds it.
"""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.container import drivers, status
from rootless_pod.container.identity import new_id
from rootless_pod.container.limits import come_near
from rootless_pod.container.lookup import Container, read
from rootless_pod.container.tell import tell
from rootless_pod.errors import Conflict, Corrupt, Refused, RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.programs import run as programs
from rootless_pod.spec.host import read_host_facts
from rootless_pod.spec.process import parse_environment
from rootless_pod.spec.security import choose_capabilities
from rootless_pod.spec.user import find_user, read_accounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.context import Context
    from rootless_pod.container.run import Foreground
    from rootless_pod.runtime.driver import Runtime

_FIRST_PRESERVED_FD = 3
NO_SESSION_EXIT_CODE = 255
_FORMAT, _REGULAR = 0o170000, 0o100000  # S_IFMT, S_IFREG
SIGNALLED = 128


class ExecCommand(Frozen):
    """What to run: words, and how it differs from the container's own process (texts as typed, "" = the same)."""

    words: tuple[str, ...]
    env: tuple[str, ...] = ()
    env_file: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    terminal: bool = False
    stdin_open: bool = False
    privileged: bool = False
    preserve_fds: int = 0


def session_directory(context: Context, container_id: str, session_id: str) -> str:
    """Return where the files of one exec session lie; short, as there are sockets in it."""
    return f"{context.paths.bundle(container_id)}/exec-{session_id[:16]}"


def running(context: Context, container_id: str, *, exit_code: int | None = None) -> Container:
    """Return the container if it runs.

    Raises:
        Conflict: it does not, or is paused.
    """
    container = read(context.paths, container_id)
    if container.status.name != status.RUNNING or container.status.lost or not container.status.pid:
        verb = "unpause" if container.status.name == status.PAUSED else "start"
        raise Conflict(
            f"container {container.config.name} is not running: it is {container.status.name}",
            remedy=f"run: rpod {verb} {container.config.name}",
            exit_code=exit_code,
        )
    return container


def execute(context: Context, container_id: str, command: ExecCommand, foreground: Foreground | None) -> int:
    """Run ``command`` in the container; in the foreground return its exit code, detached print the session's id.

    Raises:
        Conflict: the container does not run.
        NotFound, Refused: the command (127, 126) or the user is not there.
    """
    container = running(context, container_id, exit_code=NO_SESSION_EXIT_CODE)
    process = process_of(context, container, command)
    runtime = drivers.runtime_of(context, container.state)
    come_near(container.state.get("cgroup"), container_id)
    session_id = new_id()
    directory = session_directory(context, container_id, session_id)
    os.mkdir(directory, 0o700)
    tell(context.paths, container.config, "exec")
    if foreground is None:
        # The session's directory belongs to its monitor, which removes it in the end; else it goes with the bundle.
        return _detached(context, container, command, process, runtime, session_id)
    try:
        if not command.terminal and not any(_is_not_handed_over(fd) for fd in _used(foreground)):
            code: int | None = _direct(container_id, command, process, runtime, directory, foreground)
        else:
            code = _monitored(context, container, command, process, runtime, session_id, foreground)
        if code is not None:
            tell(context.paths, container.config, "exec_died", exit_code=code)
        return code or 0
    finally:
        from rootless_pod.linux.tree import remove_tree

        remove_tree(directory)


def output_of(
    context: Context, container_id: str, command: ExecCommand, *, timeout_seconds: float | None = None
) -> tuple[int, str, str]:
    """Run ``command`` without a terminal; return its exit code, what it printed and what it said on stderr.

    Raises:
        Conflict: the container does not run.
        NotFound, Refused: the command (127, 126) or the user is not there.
        TimedOut: it takes longer.
    """
    from rootless_pod.linux.tree import remove_tree
    from rootless_pod.state.record import write_bytes

    container = running(context, container_id, exit_code=NO_SESSION_EXIT_CODE)
    process = process_of(context, container, command)
    runtime = drivers.runtime_of(context, container.state)
    come_near(container.state.get("cgroup"), container_id)
    directory = session_directory(context, container_id, new_id())
    os.mkdir(directory, 0o700)
    try:
        write_bytes(f"{directory}/process.json", jsontext.dumps(process).encode())
        log = f"{directory}/oci-log"
        argv = (runtime.path, *runtime.exec_argv(log, "--process", f"{directory}/process.json", container_id))
        done = programs.run(argv, stdin=b"", timeout_seconds=timeout_seconds)
        if done.code > 0:
            _raise_runtime_failure(log, runtime, container_id)
    finally:
        remove_tree(directory)
    code = SIGNALLED - done.code if done.code < 0 else done.code
    return code, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def _used(foreground: Foreground) -> tuple[int, ...]:
    wanted = (foreground.stdin, foreground.stdout, foreground.stderr)
    return tuple(fd for fd in (0, 1, 2) if wanted[fd])


def _is_not_handed_over(fd: int) -> bool:
    """Tell whether the process may not have this descriptor itself: a terminal would be the host's.

    A regular file would change its owner: runtimes give the streams to the container's user. Source: crun 1.8
    ``maybe_chown_std_streams``, runc 1.1 ``fixStdioPermissions``.
    """
    try:
        return os.isatty(fd) or os.fstat(fd).st_mode & _FORMAT == _REGULAR
    except OSError:
        return False


def process_of(context: Context, container: Container, command: ExecCommand) -> dict[str, Any]:
    """Return the runtime-spec's ``process``: the container's own, changed as ``command`` says.

    Raises:
        Corrupt: the bundle can't be read.
    """
    path = f"{context.paths.bundle(container.id)}/config.json"
    try:
        with open(path, "rb") as file:
            process: dict[str, Any] = jsontext.loads(file.read())["process"]
    except (OSError, ValueError, KeyError) as cause:
        raise Corrupt(f"the bundle of container {container.config.name} is damaged: {path}") from cause
    process["args"] = list(command.words)
    process["terminal"] = command.terminal
    process.pop("oomScoreAdj", None)
    _set_environment(process, command)
    if command.working_dir:
        process["cwd"] = command.working_dir
    if command.user or command.privileged:
        _set_user(context, container, command, process)
    return process


def _set_environment(process: dict[str, Any], command: ExecCommand) -> None:
    env = dict(one.partition("=")[::2] for one in process.get("env", ()))
    env.pop("NOTIFY_SOCKET", None)  # only the container's own program says when it is ready
    if command.terminal:
        env.setdefault("TERM", os.environ.get("TERM") or "xterm")
    env.update(parse_environment(command.env_file, os.environ, "--env-file"))
    env.update(parse_environment(command.env, os.environ, "--env"))
    process["env"] = [f"{name}={value}" for name, value in env.items()]


def _set_user(context: Context, container: Container, command: ExecCommand, process: dict[str, Any]) -> None:
    request = container.config.request.process
    merged = f"{context.paths.container(container.id)}/merged"
    plain = bool(container.config.request.rootfs) and not container.config.request.rootfs_overlay
    host = read_host_facts()
    uid = process["user"]["uid"]
    if command.user:
        try:
            user = find_user(read_accounts(container.config.rootfs if plain else merged), command.user)
        except RpodError as cause:
            cause.exit_code = NO_SESSION_EXIT_CODE
            raise
        _require_mapped(container, user.uid, user.gid)
        uid = user.uid
        process["user"] = {**process["user"], "uid": user.uid, "gid": user.gid}
        process["user"].pop("additionalGids", None)
        others = [gid for gid in user.groups if gid != user.gid]
        if others and host.setgroups_allowed:
            process["user"]["additionalGids"] = others
        home = f"HOME={user.home}"
        process["env"] = [one for one in process["env"] if not one.startswith("HOME=")] + [home]
    wanted = request.replace(privileged=request.privileged or command.privileged)
    process["capabilities"] = choose_capabilities(wanted, uid, host).to_json()


def _require_mapped(container: Container, uid: int, gid: int) -> None:
    """Check that the ids exist in the container: the runtimes' own word for it is "invalid argument".

    Raises:
        Refused: one does not. With one id for all, only the one the container was started with exists.
    """
    from rootless_pod.linux.procfs import read_text
    from rootless_pod.userns.idmap import parse_map

    for kind, name, number in (("user", "uid", uid), ("group", "gid", gid)):
        try:
            ranges = parse_map(read_text(f"/proc/{container.status.pid}/{name}_map"))
        except OSError:
            return  # it ended meanwhile: the runtime says so
        if not any(one.container_id <= number < one.container_id + one.size for one in ranges):
            spans = [(one.container_id, one.container_id + one.size - 1) for one in ranges]
            has = ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in spans)
            raise Refused(
                f"{kind} id {number} does not exist in container {container.config.name}: it has {has}",
                remedy=f"start a container as that user: rpod run --user {uid}:{gid} …",
            )


def _direct(
    container_id: str,
    command: ExecCommand,
    process: dict[str, Any],
    runtime: Runtime,
    directory: str,
    foreground: Foreground,
) -> int:
    """Let the runtime hand our streams to the process and wait for it."""
    from rootless_pod.state.record import write_bytes

    write_bytes(f"{directory}/process.json", jsontext.dumps(process).encode())
    log = f"{directory}/oci-log"
    words = ["exec", "--process", f"{directory}/process.json"]
    if command.preserve_fds:
        words += ["--preserve-fds", str(command.preserve_fds)]
    wanted = range(_FIRST_PRESERVED_FD, _FIRST_PRESERVED_FD + command.preserve_fds)
    fds = {fd: fd for fd in (*_used(foreground), *wanted)}
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        fds.setdefault(fd, null)
    pid = programs.spawn((runtime.path, *runtime.exec_argv(log, *words[1:], container_id)), fds=fds)
    code = programs.wait(pid)
    os.close(null)
    if code > 0:
        _raise_runtime_failure(log, runtime, container_id)
    return SIGNALLED - code if code < 0 else code


def _raise_runtime_failure(log: str, runtime: Runtime, container_id: str) -> None:
    """Raise what the runtime logged: then the code is its own, not the command's."""
    from rootless_pod.linux.procfs import read_text
    from rootless_pod.oci.failure import failure_of, last_message

    try:
        words = last_message(read_text(log))
    except OSError:
        return
    if words:
        raise failure_of(words, runtime=runtime.name, doing=f"run a process in container {container_id[:12]}")


def _request(
    context: Context,
    container: Container,
    command: ExecCommand,
    process: dict[str, Any],
    runtime: Runtime,
    session_id: str,
    *,
    attached: bool,
) -> Any:
    from rootless_pod.monitor.driver import ExecRequest
    from rootless_pod.monitor.terminal import window_size
    from rootless_pod.userns.enter import leave_mark

    directory = session_directory(context, container.id, session_id)
    size = next((found for fd in (0, 1, 2) if (found := window_size(fd))), None) if command.terminal else None
    return ExecRequest(
        container_id=container.id,
        session_id=session_id,
        directory=directory,
        runtime_path=runtime.path,
        runtime_argv=runtime.global_argv(),
        process=process,
        terminal=command.terminal,
        stdin_open=command.stdin_open,
        attached=attached,
        size=size,
        exit_command=() if attached else _at_the_end(context, container, directory),
        preserve_fds=tuple(range(_FIRST_PRESERVED_FD, _FIRST_PRESERVED_FD + command.preserve_fds)),
        env=leave_mark(dict(os.environ)),
    )


def _at_the_end(context: Context, container: Container, directory: str) -> tuple[str, ...]:
    """Return what the monitor of a detached session runs when its process has ended."""
    from rootless_pod.container.session_end import command
    from rootless_pod.programs.find import find_program

    found = command(context.paths, container.config, directory)
    remover = find_program("rm")
    return found or ((remover, "-rf", directory) if remover is not None else ())


def _detached(
    context: Context,
    container: Container,
    command: ExecCommand,
    process: dict[str, Any],
    runtime: Runtime,
    session_id: str,
) -> int:
    from rootless_pod.monitor.conmon import start_exec

    request = _request(context, container, command, process, runtime, session_id, attached=False)
    with start_exec(request, drivers.conmon_path(context)):
        os.write(1, f"{request.session_id}\n".encode())
    return 0


def _monitored(
    context: Context,
    container: Container,
    command: ExecCommand,
    process: dict[str, Any],
    runtime: Runtime,
    session_id: str,
    foreground: Foreground,
) -> int | None:
    """Hold the process's streams until it ends; None where the user detached: it goes on."""
    from rootless_pod.monitor import attach
    from rootless_pod.monitor.conmon import start_exec

    request = _request(context, container, command, process, runtime, session_id, attached=True)
    with start_exec(request, drivers.conmon_path(context)) as session:
        assert session.attachment is not None
        how = attach.stream(
            session.attachment,
            stdin=0 if foreground.stdin else None,
            stdout=1 if foreground.stdout else None,
            stderr=2 if foreground.stderr else None,
            terminal=command.terminal,
            detach_keys=foreground.detach_keys,
        )
        return None if how == attach.DETACHED else session.wait()
