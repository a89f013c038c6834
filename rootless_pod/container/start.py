"""Start a created container: root file system, network, spec, bundle, monitor, runtime, in that order. HOT.

The state on disk says ``starting`` before the first thing is done that would have to be undone, so that any later
command knows what to put away if this process is killed.
"""

from __future__ import annotations

import os
import time

from rootless_pod.container import drivers, status
from rootless_pod.container.cleanup import drop_bundle, settle
from rootless_pod.container.lookup import Container, read
from rootless_pod.container.prepare import (
    HelperReplaced,
    begin_network,
    find_place,
    image_of,
    joined_namespaces,
    prepare,
)
from rootless_pod.container.tell import tell
from rootless_pod.container.undo import Undo
from rootless_pod.errors import Conflict
from rootless_pod.frozen import Frozen
from rootless_pod.linux import procfs
from rootless_pod.monitor import attach, conmon
from rootless_pod.monitor.driver import MonitorRequest
from rootless_pod.programs.find import find_program
from rootless_pod.state.containers import FOREGROUND, write_state
from rootless_pod.state.record import write_bytes, write_record
from rootless_pod.userns.enter import hold, leave_mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from rootless_pod.container.context import Context
    from rootless_pod.container.record import ContainerConfig
    from rootless_pod.monitor.attach import Attachment
    from rootless_pod.monitor.driver import Monitored
    from rootless_pod.network.attach import Attachment as Network
    from rootless_pod.oci.image import Image
    from rootless_pod.runtime.driver import Runtime

    _Result = TypeVar("_Result")


# What outlives one run; a start that the restart policy makes goes on where the last one ended.
_KEPT = ("driver", "anonymous_volumes")
_SHOWN_MEANWHILE = ("exit_code", "started_ns", "finished_ns", "oom", "error")
_KEPT_AGAIN = (*_KEPT, "restarts", "restart")


class _Wish(Frozen):
    """How a container is to be made: with whose streams, and whether it begins at once."""

    image: Image | None = None
    attached: bool = False
    preserve_fds: tuple[int, ...] = ()
    begin: bool = True
    again: bool = False


class Started(Frozen):
    """A container that runs; ``attachment`` is connected since before its first instruction, if one was wanted."""

    id: str
    pid: int
    bundle: str
    conmon_pid: int
    conmon_started: int | None
    attachment: Attachment | None = None


def start(
    context: Context,
    config: ContainerConfig,
    *,
    image: Image | None = None,
    attached: bool = False,
    preserve_fds: tuple[int, ...] = (),
    again: bool = False,
) -> Started:
    """Start the container; the caller holds its lock. After a failure it is as it was before, with ``error`` set.

    ``again``: nobody asked for it but its restart policy, which goes on counting.

    Raises:
        Conflict: it runs already, or a container it shares namespaces with does not run.
        HostUnready, ProgramFailed, NotFound, Refused: a step failed; exit codes 125, 126 and 127 as podman's.
    """
    container = settle(context, read(context.paths, config.id))
    if container.status.is_running:
        raise Conflict(
            f"container {config.id[:12]} is {container.status.name} already",
            remedy=f"attach to it: rpod attach {config.name}",
        )
    if container.status.name == status.INITIALIZED:
        return _begin(context, config, container, attached=attached)
    wish = _Wish(image=image, attached=attached, preserve_fds=preserve_fds, again=again)
    return _make(context, config, container, wish)


def initialize(context: Context, config: ContainerConfig) -> None:
    """Make the container ready: everything is done but the first instruction of its program. Under its lock.

    It waits for ``start`` as long as its monitor lives, whoever is killed meanwhile; ``remove`` ends it.

    Raises:
        Conflict: it is ready, or runs, already.
        HostUnready, ProgramFailed, NotFound, Refused: as ``start``.
    """
    container = settle(context, read(context.paths, config.id))
    if container.status.is_made:
        raise Conflict(
            f"container {config.id[:12]} is {container.status.name} already",
            remedy=f"start it: rpod start {config.name}",
        )
    _make(context, config, container, _Wish(begin=False))


def _make(context: Context, config: ContainerConfig, container: Container, wish: _Wish) -> Started:
    if config.required:
        from rootless_pod.container.dependents import check_needed

        check_needed(context.paths, config.id, config.required)
    if config.pod_id:
        config = _ready_pod(context, config)
    wanted = drivers.wanted_runtime(context, config, again=wish.again)
    runtime = drivers.runtime_choice(context, wanted).driver
    if "shown" in container.state:
        from rootless_pod.container.mounts import take_down

        take_down(context, container)
        container = read(context.paths, config.id)
    if container.state.get("restart") and not wish.again:
        from rootless_pod.container.restart_policy import cancel

        cancel(context, container)
        container = read(context.paths, config.id)
    try:
        return _make_once(context, config, container, runtime, wish)
    except HelperReplaced:
        container = settle(context, read(context.paths, config.id))
        return _make_once(context, config, container, runtime, wish)


def _ready_pod(context: Context, config: ContainerConfig) -> ContainerConfig:
    """Have the namespaces of the pod: of the infra container return the config with the program it runs."""
    if config.is_infra:
        from rootless_pod.container.pod.infra import prepare_rootfs

        return prepare_rootfs(config)
    from rootless_pod.container.pod.start import start_infra_for

    start_infra_for(context, config)
    return config


def _make_once(
    context: Context, config: ContainerConfig, container: Container, runtime: Runtime, wish: _Wish
) -> Started:
    state = _claim(context, container, drivers.wanted_runtime(context, config, again=wish.again) or runtime.name)
    with Undo() as undo:
        undo.push(_note_failure, context, container)
        _be_found(context, config.id)
        image = wish.image or image_of(context, config)
        joined = joined_namespaces(context, config)
        network = begin_network(context, config, image, joined)
        undo.push(network.abort)
        state["network"] = network.status.to_json()
        host = find_place(context, config, state)
        # The monitor gets ready while the rest is prepared, and waits for the word to create the container.
        monitor = _monitor(context, config, network, runtime, wish)
        undo.push(monitor.abort)
        prepared = prepare(
            context,
            config,
            image=image,
            joined=joined,
            network=network,
            host=host,
            state=state,
            takes_program=runtime.takes_program,
        )
        undo.push(prepared.close)
        write_state(context.paths, config.id, state)
        monitored = _with_hooks(state, prepared.bundle, monitor.create)
        undo.push(runtime.delete, config.id, force=True)
        attachment = _attachment(config, prepared.bundle, attached=wish.attached)
        if attachment is not None:
            undo.push(attachment.close)
        _record_monitor(prepared.bundle, monitored)
        status_of_network = prepared.wait_network().of_process(monitored.pid)
        _set_size(config, prepared.bundle)
        running = {
            **{key: value for key, value in state.items() if key != "before"},
            "status": status.RUNNING,
            "pid": monitored.pid,
            "pid_started": procfs.start_time(monitored.pid),
            "conmon_pid": monitored.conmon_pid,
            "conmon_started": monitored.conmon_started,
            "network": status_of_network.to_json(),
        }
        waiting = status.BEGINNING if wish.begin else status.INITIALIZED
        write_state(context.paths, config.id, {**running, "status": waiting})
        tell(context.paths, config, "init")
        if wish.begin:
            _run(context, config, running, runtime, attached=wish.attached)
        prepared.close()
        _write_pid_files(config, monitored)
    return Started(
        id=config.id,
        pid=monitored.pid,
        bundle=prepared.bundle,
        conmon_pid=monitored.conmon_pid,
        conmon_started=monitored.conmon_started,
        attachment=attachment,
    )


def _begin(context: Context, config: ContainerConfig, container: Container, *, attached: bool) -> Started:
    """Start what ``initialize`` made ready. After a failure it is as it was before that."""
    from rootless_pod.container.interrupted import end_start

    bundle, state = context.paths.bundle(config.id), container.state
    with Undo() as undo:
        undo.push(_note_failure, context, container)
        undo.push(end_start, context, container)
        attachment = _attachment(config, bundle, attached=attached)
        if attachment is not None:
            undo.push(attachment.close)
        _set_size(config, bundle)
        running = {**state, "status": status.RUNNING}
        _run(context, config, running, drivers.runtime_of(context, state), attached=attached)
    return Started(
        id=config.id,
        pid=container.status.pid,
        bundle=bundle,
        conmon_pid=state.get("conmon_pid", 0),
        conmon_started=state.get("conmon_started"),
        attachment=attachment,
    )


def _run(
    context: Context, config: ContainerConfig, running: dict[str, Any], runtime: Runtime, *, attached: bool
) -> None:
    """Let the made container's program begin, and record it as ``running``."""
    due = running.pop("restart", None)
    if due is not None:
        running["backoff_seconds"] = due["delay_seconds"]
    started_ns = time.time_ns()
    bundle = context.paths.bundle(config.id)
    _with_hooks(running, bundle, lambda: runtime.start(config.id, log_path=f"{bundle}/oci-log"))
    write_state(context.paths, config.id, {**running, "started_ns": started_ns})
    tell(context.paths, config, "start")
    if attached:
        tell(context.paths, config, "attach")
    notify = os.environ.get("NOTIFY_SOCKET", "")
    if notify and config.request.sdnotify != "ignore":
        from rootless_pod.container.sdnotify import tell_started

        tell_started(notify, config.request.sdnotify, running["conmon_pid"])
    if config.request.health is not None:
        from rootless_pod.container.health_watch import begin

        begin(context, config.id, notify=notify if config.request.sdnotify == "healthy" else "")


def _attachment(config: ContainerConfig, bundle: str, *, attached: bool) -> Attachment | None:
    """Connect to the monitor; with the log driver passthrough the container has our own streams instead."""
    return attach.connect(bundle) if attached and config.request.log.driver != "passthrough" else None


def _claim(context: Context, container: Container, runtime: str) -> dict[str, Any]:
    """Say in the record that a start has begun, with which runtime, keeping what outlives one run."""
    wanted = _KEPT_AGAIN if container.state.get("restart") else _KEPT
    kept: dict[str, Any] = {key: container.state[key] for key in wanted if key in container.state}
    state = {
        **kept,
        "status": status.STARTING,
        "boot_id": context.paths.boot_id,
        "runtime": runtime,
    }
    if container.status.name == status.EXITED:
        state["before"] = {key: getattr(container.status, key) for key in _SHOWN_MEANWHILE}
    write_state(context.paths, container.id, state)
    _forget_exit_file(context, container.id)
    return state


def _be_found(context: Context, container_id: str) -> None:
    """Stand in for the monitor until there is one: a command that finds the pause process killed joins us meanwhile."""
    bundle = context.paths.bundle(container_id)
    if os.path.isdir(bundle):
        drop_bundle(context, container_id)  # of a start or an end that was cut short
    os.mkdir(bundle, 0o700)
    write_record(f"{bundle}/monitor.json", {"pid": os.getpid(), "started": procfs.start_time(os.getpid())})
    hold(context.paths, context.namespace)


def _forget_exit_file(context: Context, container_id: str) -> None:
    try:
        os.unlink(f"{context.paths.exits}/{container_id}")
    except FileNotFoundError:
        pass


def _with_hooks(state: dict[str, Any], bundle: str, step: Callable[[], _Result]) -> _Result:
    """Do a step in which the runtime calls hooks, if there are any."""
    if not state.get("hooks"):
        return step()
    from rootless_pod.container.hooks import naming_hook

    return naming_hook(bundle, step)


def _note_failure(context: Context, container: Container) -> None:
    """Put everything away and go back to the state before the start."""
    settle(context, read(context.paths, container.id))


def _monitor(
    context: Context, config: ContainerConfig, network: Network, runtime: Runtime, wish: _Wish
) -> conmon.Waiting:
    """Start the monitor, which waits."""
    log = config.request.log
    bundle = context.paths.bundle(config.id)
    request = MonitorRequest(
        container_id=config.id,
        name=config.name,
        bundle=bundle,
        runtime_path=runtime.path,
        runtime_argv=runtime.global_argv(),
        exit_dir=context.paths.exits,
        persist_dir=f"{bundle}/persist",
        log_driver=log.driver,
        log_path=log.path or f"{context.paths.container(config.id)}/ctr.log",
        log_size_max=log.size_max,
        log_tag=log.tag,
        terminal=config.request.process.terminal,
        stdin_open=config.request.process.stdin_open,
        # With nobody attached yet, the first who attaches and leaves must not close it for those after him.
        leave_stdin_open=None if wish.attached else True,
        exit_command=exit_command(context, config),
        # Held by the monitor, so that the network helper ends when it does.
        keep_fds=network.keep_fds,
        preserve_fds=wish.preserve_fds,
        no_new_keyring=not config.request.keyring,
        timeout_seconds=config.request.timeout_seconds or None,
        notify_socket=os.environ.get("NOTIFY_SOCKET", "") if config.request.sdnotify == "container" else "",
        env=leave_mark(dict(os.environ)),
    )
    return conmon.Waiting(request, drivers.conmon_path(context))


def exit_command(context: Context, config: ContainerConfig) -> tuple[str, ...]:
    """Return what the monitor runs when the container has ended: its clean-up.

    Beside a command that cleans up itself (one that stays in the foreground, or ``stop``), a shell waits for that
    command's lock and finds nothing left: no bundle, or with ``--rm`` no record. Starting Python for it would take time
    from the next container. Killed, the command lets go of the lock.
    """
    words = ["container", "cleanup", *(["--rm"] if config.request.auto_remove else []), config.id]
    command = context.command(*words)
    flock, shell = find_program("flock"), find_program("sh")
    if flock is None or shell is None or config.request.restart_policy not in ("", "no"):
        return command
    directory = context.paths.container(config.id)
    work = f"{directory}/state.json" if config.request.auto_remove else context.paths.bundle(config.id)
    guard = 'test -e "$1" || exit 0; shift; exec "$@"'
    return (flock, f"{directory}/{FOREGROUND}", shell, "-c", guard, "sh", work, *command)


def _record_monitor(bundle: str, monitored: Monitored) -> None:
    """Record the monitor: whoever finds the pause process dead joins the namespaces through it."""
    write_record(f"{bundle}/monitor.json", {"pid": monitored.conmon_pid, "started": monitored.conmon_started})


def _set_size(config: ContainerConfig, bundle: str) -> None:
    """Give the container's terminal our size before its first instruction."""
    if not config.request.process.terminal:
        return
    from rootless_pod.monitor.terminal import window_size

    for fd in (0, 1, 2):
        size = window_size(fd)
        if size is not None:
            attach.resize(bundle, *size)
            return


def _write_pid_files(config: ContainerConfig, monitored: Monitored) -> None:
    for path, pid in ((config.request.pid_file, monitored.pid), (config.request.conmon_pid_file, monitored.conmon_pid)):
        if path:
            write_bytes(os.path.abspath(path), str(pid).encode(), mode=0o644)
