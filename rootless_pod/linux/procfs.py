"""What /proc says of processes, mounts and this boot. No ctypes: cheap enough for ``ps``."""

from __future__ import annotations

import os

_boot_id: str | None = None


def read_text(path: str) -> str:
    """Return the whole text of a small file, undecodable bytes escaped."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
    finally:
        os.close(fd)
    return b"".join(parts).decode(errors="surrogateescape")


def boot_id() -> str:
    """Return the identifier of this boot (32 hex digits)."""
    global _boot_id  # noqa: PLW0603 - it can't change while we run
    if _boot_id is None:
        try:
            _boot_id = read_text("/proc/sys/kernel/random/boot_id").strip().replace("-", "")
        except OSError:
            _boot_id = "0" * 32
    return _boot_id


def start_time(pid: int) -> int | None:
    """Return when ``pid`` started (clock ticks since boot), or None if there is no such process or it is a zombie.

    A pid with its start time names one process for the whole boot.
    Source: proc(5), /proc/PID/stat field 22.
    """
    try:
        stat = read_text(f"/proc/{pid}/stat")
    except OSError:
        return None
    fields = stat[stat.rfind(")") + 2 :].split()
    return None if len(fields) < 20 or fields[0] in "ZX" else int(fields[19])


def is_alive(pid: int, started: int | None) -> bool:
    """Tell whether ``pid`` is still the process that started at ``started``."""
    return pid > 0 and started is not None and start_time(pid) == started


def unescape(field: str) -> str:
    r"""Undo the octal escapes (``\040``) of a mountinfo field."""
    if "\\" not in field:
        return field
    parts = field.split("\\")
    text = parts[0]
    for part in parts[1:]:
        digits = part[:3]
        if len(digits) == 3 and digits.isdigit():
            text += chr(int(digits, 8)) + part[3:]
        else:
            text += "\\" + part
    return text


def mount_points(pid: int | str = "self") -> list[tuple[str, str, str]]:
    """Return (mount point, file-system type, source) of every mount ``pid`` sees, in mount order."""
    mounts = []
    # Not by splitlines(): a mount point may have a form feed in its name, which the kernel does not escape.
    for line in read_text(f"/proc/{pid}/mountinfo").split("\n")[:-1]:
        left, _, right = line.partition(" - ")
        kind, source = right.split(" ")[:2]
        mounts.append((unescape(left.split(" ")[4]), kind, unescape(source)))
    return mounts
