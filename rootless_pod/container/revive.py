"""Containers whose own processes were killed: who looks at them has them looked after. HOT.

What waits for a restart's back-off or watches a container's health may be killed, and a monitor too. No daemon notices;
the next ``ps`` or ``inspect`` does, and leaves a ``container cleanup`` behind that puts it right.
"""

from __future__ import annotations

import os

from rootless_pod.container import status as states
from rootless_pod.linux import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless_pod.container.context import Places
    from rootless_pod.container.lookup import Container
    from rootless_pod.paths import Paths


def needs_care(paths: Paths, container: Container) -> bool:
    """Tell whether a process that looks after the container is gone."""
    request, status, state = container.config.request, container.status, container.state
    if state.get("restart"):
        from rootless_pod.container.restart_policy import is_waiting

        return not is_waiting(state)  # until it runs, who waits is who starts it
    if state.get("status") in states.UNDER_WAY:
        return False
    if request.restart_policy not in ("", "no") and (status.lost or status.unsettled):
        # A monitor that lives is about to do it itself.
        return not procfs.is_alive(state.get("conmon_pid", 0), state.get("conmon_started"))
    if request.health is not None and status.name == states.RUNNING and request.health.interval_ns:
        from rootless_pod.container.health import is_watched

        return not is_watched(paths.bundle(container.id))
    return False


def revive(places: Places, containers: Iterable[Container]) -> None:
    """Leave a clean-up behind for those that need it; nothing is waited for."""
    ids = [one.id for one in containers if needs_care(places.paths, one)]
    if not ids:
        return
    from rootless_pod.programs.run import spawn

    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        spawn(places.command("container", "cleanup", *ids), fds={0: null, 1: null, 2: null}, new_session=True)
    finally:
        os.close(null)
