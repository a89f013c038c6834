"""The end of a process started by ``exec -d``: told to the event log, and its files removed.

Its monitor runs this file as a program with one argument, a JSON object: ``events`` (the directory of the log),
``event`` (all but the exit code) and ``directory`` (of the session, with the exit file). Nothing else is loaded for it.
"""

from __future__ import annotations

import os
import sys

_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if _PACKAGE not in sys.path:
    sys.path.append(_PACKAGE)

from rootless_pod import jsontext  # noqa: E402 - the path to it is known only now
from rootless_pod.linux.tree import remove_tree  # noqa: E402
from rootless_pod.state.events import append, are_kept  # noqa: E402
from rootless_pod.state.record import read_bytes  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.record import ContainerConfig
    from rootless_pod.paths import Paths

_UNKNOWN = -1


def end(wanted: dict[str, Any]) -> None:
    """Write the event with the session's exit code, then remove its directory."""
    try:
        code = int(read_bytes(f"{wanted['directory']}/exits/{wanted['event']['id']}"))
    except (OSError, ValueError):
        code = _UNKNOWN
    try:
        append(wanted["events"], {**wanted["event"], "exit_code": code})
    finally:
        remove_tree(wanted["directory"])


def command(paths: Paths, config: ContainerConfig, directory: str) -> tuple[str, ...]:
    """Return the argv for the monitor of a session; empty where no events are kept."""
    if not are_kept():
        return ()
    event = {
        "type": "container",
        "action": "exec_died",
        "id": config.id,
        "name": config.name,
        "image": config.image_name,
        "attributes": config.labels,
    }
    wanted = jsontext.dumps({"events": paths.events, "event": event, "directory": directory})
    return (sys.executable, "-I", "-S", "-X", "utf8", os.path.abspath(__file__), wanted)


if __name__ == "__main__":
    end(jsontext.loads(sys.argv[1]))
