"""Words for the systemd that runs us as a unit of ``Type=notify``. Source: sd_notify(3); podman 4.3.1's messages.

In the mode ``container`` the words of the container's own program count: the monitor listens on a socket that is
mounted into it, and hands them on. Systemd is told that the monitor is the unit's main process, as it outlives rpod.
"""

from __future__ import annotations

import os

from rootless_pod import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.spec.generate import Spec

_INSIDE = "/run/notify"


def with_socket(spec: Spec, bundle: str) -> Spec:
    """Return the spec with the monitor's socket mounted and named in the environment."""
    os.makedirs(f"{bundle}/notify", mode=0o755, exist_ok=True)
    mount = {
        "destination": _INSIDE,
        "type": "bind",
        "source": f"{bundle}/notify",
        "options": ["bind", "rprivate", "nosuid", "nodev", "noexec"],
    }
    process = spec.config["process"]
    env = [one for one in process.get("env", ()) if not one.startswith("NOTIFY_SOCKET=")]
    process = {**process, "env": [*env, f"NOTIFY_SOCKET={_INSIDE}/notify.sock"]}
    return spec.replace(config={**spec.config, "process": process, "mounts": [*spec.config["mounts"], mount]})


def tell_started(socket: str, mode: str, conmon_pid: int) -> None:
    """Say who the unit's main process is; in the mode ``conmon`` also that it is ready."""
    send(socket, f"MAINPID={conmon_pid}", *(["READY=1"] if mode == "conmon" else []))


def send(path: str, *lines: str) -> None:
    """Send ``lines`` to the socket ``path`` (``@`` at its beginning stands for the abstract namespace).

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
