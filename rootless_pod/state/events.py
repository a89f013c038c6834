"""The event log of this boot: what happened to containers, pods, images and volumes, one JSON object a line. HOT.

Any process appends; each holds the file's lock for one write, so lines are whole, and times never go back along the
file. A writer that was killed in the middle leaves a line without an end: the next one begins a new line, and readers
pass over what is no event. The first event of a boot is ``system refresh``. A full file becomes ``events.log.1`` in
place of an older one. Reading: ``state/eventlog``.
"""

from __future__ import annotations

import fcntl
import os
import time

from rootless_pod import jsontext, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless_pod.paths import Paths

LOG = "events.log"
OLD_LOG = "events.log.1"
SIZE_MAX = 1_000_000
NOBODY: Mapping[str, str] = {}
_OPEN = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_FIRST: dict[str, object] = {"type": "system", "action": "refresh"}
_state = {"kept": True}


def keep_none() -> None:
    """Write no events in this process: ``--events-backend none``."""
    _state["kept"] = False


def are_kept() -> bool:
    """Whether this process writes events."""
    return _state["kept"]


def emit(
    paths: Paths,
    kind: str,
    action: str,
    *,
    id: str,  # noqa: A002 - the event's own word
    name: str = "",
    image: str = "",
    exit_code: int | None = None,
    attributes: Mapping[str, str] = NOBODY,
) -> None:
    """Add an event that happened now: ``kind`` container, pod, image, volume … and the ``action`` as podman names it.

    What happened has happened: where it can't be written (a full disk), that is said and nothing fails.
    """
    if not _state["kept"]:
        return
    event: dict[str, object] = {"type": kind, "action": action}
    if id:
        event["id"] = id
    if name:
        event["name"] = name
    if image:
        event["image"] = image
    if exit_code is not None:
        event["exit_code"] = exit_code
    if attributes:
        event["attributes"] = dict(attributes)
    try:
        append(paths.events, event)
    except OSError as cause:
        log.warn(f"the event {kind} {action} is not in the event log: {cause.strerror}")


def append(directory: str, event: dict[str, object], *, size_max: int = SIZE_MAX) -> None:
    """Append one event to the log in ``directory`` (made if missing); after an OSError there is no part of it."""
    fd = _open_locked(directory, size_max)
    try:
        size = os.fstat(fd).st_size
        line = _line(event)
        if not size and not os.path.exists(f"{directory}/{OLD_LOG}"):
            line = _line(_FIRST) + line
        elif size and os.pread(fd, 1, size - 1) != b"\n":
            line = b"\n" + line
        written = os.write(fd, line)
        if written < len(line):
            os.ftruncate(fd, size)
            raise OSError(28, "no space left on device")
    finally:
        os.close(fd)


def _line(event: dict[str, object]) -> bytes:
    return f"{jsontext.dumps({'time_ns': time.time_ns(), **event})}\n".encode()


def _open_locked(directory: str, size_max: int) -> int:
    """Open the log and lock it; a full one is put aside first. Whoever was faster may have done so meanwhile."""
    path = f"{directory}/{LOG}"
    while True:
        try:
            fd = os.open(path, _OPEN, 0o600)
        except FileNotFoundError:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            here = os.fstat(fd)
            if here.st_size < size_max and _is_at(path, here):
                return fd
            if _is_at(path, here):
                os.rename(path, f"{directory}/{OLD_LOG}")
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _is_at(path: str, here: os.stat_result) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return there.st_ino == here.st_ino and there.st_dev == here.st_dev
