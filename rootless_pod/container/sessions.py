"""What is kept of the processes that ``exec -d`` started, after them."""

from __future__ import annotations

import os

from rootless_pod.container.exec import session_directory
from rootless_pod.errors import Conflict, NotFound
from rootless_pod.linux.procfs import read_text, start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context


def forget_session(context: Context, container_id: str, session_id: str) -> None:
    """Remove the files of an exec session; its monitor does so too when it ends.

    Raises:
        NotFound: there is no such session (any more).
        Conflict: its process still runs.
    """
    directory = session_directory(context, container_id, session_id)
    if len(session_id) < len(os.path.basename(directory)) - len("exec-") or not os.path.isdir(directory):
        raise NotFound(f"container {container_id[:12]} has no exec session {session_id}")
    try:
        monitor = int(read_text(f"{directory}/conmon.pid"))
    except (OSError, ValueError):
        monitor = 0
    if monitor and start_time(monitor) is not None:
        raise Conflict(f"exec session {session_id[:12]} of container {container_id[:12]} still runs")
    from rootless_pod.linux.tree import remove_tree

    remove_tree(directory)
