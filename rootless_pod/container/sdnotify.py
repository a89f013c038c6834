"""Words for the systemd that runs us as a unit of ``Type=notify``. Source: sd_notify(3)."""

from __future__ import annotations

from rootless_pod import log


def send(path: str, *lines: str) -> None:
    """Send ``lines`` to the socket ``path`` (``$NOTIFY_SOCKET``: ``@`` stands for the abstract namespace).

    Nobody listening is nothing we could mend: it is said to those who debug.
    """
    import _socket

    address = f"\0{path[1:]}" if path.startswith("@") else path
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        socket.sendto("\n".join(lines).encode(), address)
    except OSError as cause:
        log.debug(f"no word of readiness to {path}: {cause.strerror}")
    finally:
        socket.close()
