"""What the parent and the child that becomes the pause process say to each other.

Two pipes, one closed set of one-byte messages; ``FAILED`` is followed by text up to end of file.
End of file instead of a message means that the other side died: the child then ends too, so a killed
parent never leaves a namespace that nobody knows of.
"""

from __future__ import annotations

import os

# child → parent
UNSHARED = b"U"
READY = b"R"
FAILED = b"F"
# parent → child
MAPPED = b"M"
MAP_YOURSELF = b"S"
RECORDED = b"K"


def send(fd: int, message: bytes) -> None:
    """Send one message; a vanished reader is the reader's business."""
    try:
        os.write(fd, message)
    except BrokenPipeError:
        pass


def receive(fd: int) -> bytes:
    """Return the next message, or ``b""`` when the other side is gone."""
    return os.read(fd, 1)


def receive_text(fd: int) -> str:
    """Return the text behind ``FAILED``."""
    parts = []
    while part := os.read(fd, 4096):
        parts.append(part)
    return b"".join(parts).decode(errors="replace")
