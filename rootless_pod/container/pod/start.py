"""Start pods, and the infra container for whoever needs it."""

from __future__ import annotations

from rootless_pod.container.lookup import read as read_container
from rootless_pod.container.pod import infra
from rootless_pod.container.pod.lookup import look
from rootless_pod.container.pod.record import read
from rootless_pod.container.pod.tell import tell
from rootless_pod.errors import NotFound, ProgramFailed, RpodError
from rootless_pod.state.containers import ContainerLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.container.pod.record import PodConfig
    from rootless_pod.container.record import ContainerConfig


def start_infra_for(context: Context, config: ContainerConfig) -> None:
    """Start the infra container of the pod that a container is in, if it does not run.

    Raises:
        NotFound: the pod is gone.
        RpodError: it does not start.
    """
    try:
        pod = read(context.paths, config.pod_id)
    except NotFound as cause:
        raise infra.pod_removed_with(config) from cause
    if pod.infra_id:
        _start_infra(context, pod)


def _start_infra(context: Context, pod: PodConfig) -> None:
    try:
        running = read_container(context.paths, pod.infra_id).status
    except NotFound:
        infra.ensure(context, pod, wait=False)
    else:
        if running.is_running and running.pid and not running.lost:
            return
    start_one(context, pod.infra_id)


def start_one(context: Context, container_id: str) -> None:
    """Start a container that does not run; one that runs is left alone.

    Raises:
        RpodError: it does not start, or is gone.
    """
    from rootless_pod.container.start import start as start_container

    with ContainerLock(context.paths, container_id):
        container = read_container(context.paths, container_id)
        if not container.status.is_running or container.status.lost:
            start_container(context, container.config)


def start(context: Context, pod_id: str) -> list[tuple[Container, RpodError]]:
    """Start the infra container, the init containers one after the other, then the rest, oldest first.

    Return the containers that did not start with their errors; the others run.

    Raises:
        NotFound: the pod has no containers, or is gone.
        ProgramFailed: an init container failed: what comes after it is not started.
    """
    config = read(context.paths, pod_id)
    if config.infra_id:
        _start_infra(context, config)
    pod = look(context.paths, pod_id)
    if not pod.members:
        raise NotFound(
            f"no containers in pod {pod_id} have no dependencies, cannot start pod",
            remedy=f"add one: rpod create --pod {config.name} IMAGE",
        )
    _run_init_containers(context, pod.others)
    failures: list[tuple[Container, RpodError]] = []
    for member in pod.others:
        if member.config.request.init_container:
            continue
        try:
            start_one(context, member.id)
        except RpodError as cause:
            failures.append((member, cause))
    tell(context.paths, config, "start")
    return failures


def _run_init_containers(context: Context, members: tuple[Container, ...]) -> None:
    """Run each to its end; those of the kind ``once`` go then."""
    for member in members:
        kind = member.config.request.init_container
        if not kind or member.status.is_running:
            continue
        from rootless_pod.container.wait import wait_for

        start_one(context, member.id)
        code = wait_for(context, member.id)
        if code:
            raise ProgramFailed(
                f"init container {member.config.name} exited with code {code}",
                remedy=f"read what it said: rpod logs {member.config.name}",
            )
        if kind == "once":
            from rootless_pod.container.remove import remove

            remove(context, member.id, volumes=True)
