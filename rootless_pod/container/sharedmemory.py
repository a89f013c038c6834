"""``/dev/shm`` of containers that share their IPC namespace: a file system of its own, mounted where each can bind it.

A mount inside one container can't be bound into another: it belongs to the first one's mount namespace. So it lies in
the bundle of the one who lends the namespace; where that was made without a thought of lending (no ``--ipc shareable``,
no pod), a clone of its mount is fetched out of there.
"""

from __future__ import annotations

import os

from rootless_pod.errors import HostUnready
from rootless_pod.oci.runtime import ResolvedMount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.record import ContainerConfig
    from rootless_pod.paths import Paths

_TARGET = "/dev/shm"  # noqa: S108 - in the container
_DEFAULT_SIZE = 65536 << 10
_OPTIONS = ("bind", "rprivate", "nosuid", "noexec", "nodev")


def share(paths: Paths, config: ContainerConfig, volumes: tuple[ResolvedMount, ...]) -> tuple[ResolvedMount, ...]:
    """Return the mounts with the shared memory among them, where the container lends or borrows it.

    What is made here goes with ``take_down``. A mount of the user's at the same place comes first.
    """
    if any(one.target == _TARGET for one in volumes):
        return volumes
    lender = config.joined.get("ipc")
    if lender is not None:
        source = f"{paths.bundle(lender)}/shm"
        if not os.path.isdir(source):
            source = f"{paths.bundle(config.id)}/shm"
            _fetch(source, paths, lender)
    elif config.request.process.ipc == "shareable":
        source = f"{paths.bundle(config.id)}/shm"
        _make(source, config.request.process.shm_size)
    else:
        return volumes
    return (*volumes, ResolvedMount(source=source, target=_TARGET, type="bind", options=_OPTIONS))


def _make(path: str, size: str) -> None:
    from rootless_pod.linux import mount
    from rootless_pod.spec.quantities import parse_size

    size_bytes = parse_size(size, "--shm-size") if size else _DEFAULT_SIZE
    os.makedirs(path, mode=0o700, exist_ok=True)
    take_down(path)  # of a start that was cut short
    flags = mount.MS_NOSUID | mount.MS_NODEV | mount.MS_NOEXEC
    mount.mount("shm", path, "tmpfs", flags, f"mode=1777,size={size_bytes}")


def _fetch(path: str, paths: Paths, lender: str) -> None:
    """Mount what the running container ``lender`` has at /dev/shm at ``path`` too.

    Raises:
        HostUnready: the kernel gives it to nobody else.
    """
    import socket

    from rootless_pod.container.lookup import read
    from rootless_pod.linux import mount

    other = read(paths, lender)
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        try:
            _send_clone(theirs.fileno(), other.status.pid)
        finally:
            os._exit(0)
    theirs.close()
    with ours:
        _words, fds, _flags, _address = socket.recv_fds(ours, 1, 1)
    os.waitpid(child, 0)
    if not fds:
        raise HostUnready(
            f"the shared memory of container {other.config.name} can't be shared",
            remedy=f"make {other.config.name} with --ipc shareable",
        )
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        take_down(path)
        mount.move_mount(fds[0], path)
    finally:
        os.close(fds[0])


def _send_clone(fd: int, pid: int) -> None:
    """Send a clone of the mount that process ``pid`` sees at /dev/shm; the caller ends after this."""
    import socket

    from rootless_pod.linux import mount, namespaces

    namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    namespaces.setns(namespace, namespaces.CLONE_NEWNS)
    with socket.socket(fileno=fd) as way:
        socket.send_fds(way, [b"x"], [mount.open_tree(_TARGET, recursive=False)])


def take_down(path: str) -> None:
    """Take the file system off ``path``; whoever has it bound keeps it. Idempotent."""
    from rootless_pod.container.drivers import unmount_path

    if os.path.isdir(path):
        unmount_path(path)
