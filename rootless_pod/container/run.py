"""``run``: the whole walk from an image's name to an exit code. HOT.

Read this file from top to bottom and you know the program; each step is one call into one room.
"""

from __future__ import annotations

import os

from rootless_pod.container.cleanup import cleanup
from rootless_pod.container.create import create
from rootless_pod.container.start import Started, start
from rootless_pod.errors import Conflict, HostUnready, NotFound, Refused, RpodError, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.image.acquire import acquire
from rootless_pod.monitor import attach
from rootless_pod.monitor.exitfile import wait_exit
from rootless_pod.monitor.signals import SIGWINCH, SignalWatch
from rootless_pod.state.containers import FOREGROUND, ContainerLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.container.context import Context
    from rootless_pod.container.record import ContainerConfig
    from rootless_pod.container.request import ContainerRequest
    from rootless_pod.oci.image import Image

LOST_MONITOR_EXIT_CODE = 125
BROKEN_PIPE_EXIT_CODE = 141
_OWN_EXIT_CODE = 125


class Foreground(Frozen):
    """How our own streams are joined to the container's: which of them, the keys that detach, signals handed on."""

    stdin: bool = True
    stdout: bool = True
    stderr: bool = True
    detach_keys: bytes = attach.DEFAULT_DETACH_KEYS
    sig_proxy: bool = True


def get_image(context: Context, request: ContainerRequest) -> Image | None:
    """Return the image, pulled if the policy says so; None for ``--rootfs``."""
    if request.rootfs:
        return None
    return acquire(
        context.paths,
        request.image,
        pull_policy=request.pull,
        platform=request.platform or None,
        quiet=request.quiet,
        tls_verify=request.tls_verify,
        authfile=request.authfile or None,
        creds=request.credentials or None,
        single_id=context.namespace.single_id,
    )


def run(
    context: Context,
    request: ContainerRequest,
    *,
    foreground: Foreground | None,
    preserve_fds: tuple[int, ...] = (),
) -> int:
    """Create and start a container; in the ``foreground`` stay and return its exit code, otherwise print its id.

    Raises:
        RpodError: a step failed; with ``--rm`` nothing of the container is left.
    """
    image = get_image(context, request)
    config = create(context, request, image)
    proxied = attach.stream_signals(proxy=foreground.sig_proxy) if foreground else ()
    with SignalWatch(proxied) as watch, ContainerLock(context.paths, config.id, FOREGROUND):
        try:
            if config.dependencies:
                from rootless_pod.container.dependents import start_needed

                start_needed(context, config.dependencies)
            with ContainerLock(context.paths, config.id):
                started = start(
                    context, config, image=image, attached=foreground is not None, preserve_fds=preserve_fds
                )
        except BaseException as error:
            if request.auto_remove or _was_never_possible(error):
                _discard(context, config)
            raise
        if foreground is None:
            if request.log.driver != "passthrough":  # then our output is the container's
                os.write(1, f"{config.id}\n".encode())
            return 0
        return stay(context, config, started, foreground, watch)


def _was_never_possible(error: BaseException) -> bool:
    """Tell whether a start failed for what was asked or the host lacks: podman says so before there is a container."""
    told_before = isinstance(error, (Usage, NotFound, Refused, HostUnready))
    return told_before and getattr(error, "exit_code", 0) == _OWN_EXIT_CODE


def _discard(context: Context, config: ContainerConfig) -> None:
    from rootless_pod.container.remove import remove

    try:
        remove(context, config.id, force=True, volumes=True, timeout_seconds=0)
        if config.request.cid_file:
            os.unlink(config.request.cid_file)
    except (RpodError, OSError):
        return


def _end_unread(context: Context, config: ContainerConfig) -> None:
    """Stop and remove a ``--rm`` container whose output nobody reads any more, as podman does."""
    from rootless_pod.container.remove import remove

    try:
        remove(context, config.id, force=True, volumes=True)
    except RpodError:
        return  # gone already, or needed by another


def stay(
    context: Context, config: ContainerConfig, started: Started, foreground: Foreground, watch: SignalWatch | None
) -> int:
    """Join the streams until the container ends or the user detaches; put it away; return the exit code."""
    if started.attachment is None:
        _wait_beside(started, _hand_on(context, config.id) if foreground.sig_proxy else None, watch)
        return _put_away(context, config, started)
    with started.attachment as attachment:
        how = attach.stream(
            attachment,
            stdin=0 if foreground.stdin and config.request.process.stdin_open else None,
            stdout=1 if foreground.stdout else None,
            stderr=2 if foreground.stderr else None,
            terminal=config.request.process.terminal,
            detach_keys=foreground.detach_keys,
            on_signal=_hand_on(context, config.id) if foreground.sig_proxy else None,
            watch=watch,
        )
    if how == attach.DETACHED:
        return 0
    if how == attach.BROKEN_PIPE:
        if config.request.auto_remove:
            # Nobody reads it and nobody is to clean up after it: what goes on for ever would do so unseen.
            _end_unread(context, config)
        return BROKEN_PIPE_EXIT_CODE
    return _put_away(context, config, started)


def _put_away(context: Context, config: ContainerConfig, started: Started) -> int:
    """Wait for the exit file, clean up and return the exit code."""
    ended = wait_exit(
        context.paths.exits, config.id, conmon_pid=started.conmon_pid, conmon_started=started.conmon_started
    )
    cleanup(context, config.id, remove=config.request.auto_remove)
    return ended.code if ended is not None and ended.known else LOST_MONITOR_EXIT_CODE


def _wait_beside(started: Started, on_signal: Callable[[int], None] | None, watch: SignalWatch | None) -> None:
    """Wait until the first process has ended; its streams are ours, there is nothing to copy."""
    import select

    try:
        handle = os.pidfd_open(started.pid)
    except ProcessLookupError:
        return
    try:
        poller = select.poll()
        for fd in (handle, *((watch.fd,) if watch is not None else ())):
            poller.register(fd, select.POLLIN)
        while handle not in {fd for fd, _events in poller.poll()}:
            for number in watch.read() if watch is not None else ():
                if on_signal is not None and number != SIGWINCH:
                    on_signal(number)
    finally:
        os.close(handle)


def _hand_on(context: Context, container_id: str) -> Callable[[int], None]:
    def hand_on(number: int) -> None:
        from rootless_pod.container.stop import kill

        try:
            kill(context, container_id, number)
        except (Conflict, NotFound):
            return

    return hand_on
