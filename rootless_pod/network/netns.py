"""The network namespace of a container: made, checked, taken away."""

from __future__ import annotations

import errno
import os

from rootless_pod.errors import HostUnready, NotFound, Usage
from rootless_pod.linux import mount, netns


def make_netns(netns_dir: str, container_id: str) -> str:
    """Make a network namespace with ``lo`` up at ``netns_dir/container_id``; return that path.

    What a killed run left there is taken away first. After a failure nothing is left.

    Raises:
        HostUnready: the kernel refuses a namespace or its mount.
    """
    path = f"{netns_dir}/{container_id}"
    remove_netns(path)
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        netns.bind_new(path)
    except OSError as cause:
        remove_netns(path)
        raise HostUnready(f"cannot make a network namespace: {cause.strerror}", remedy=_remedy(cause)) from cause
    except BaseException:
        remove_netns(path)
        raise
    return path


def _remedy(cause: OSError) -> str:
    if cause.errno == errno.ENOSPC:
        return "raise the limit as root: sysctl -w user.max_net_namespaces=15000"
    return "use --network host, or run: rpod doctor"


def remove_netns(path: str) -> None:
    """Unmount and unlink a namespace file; idempotent. The namespace goes with its last process."""
    while True:
        try:
            mount.umount(path)
        except OSError as cause:
            if cause.errno not in (errno.EINVAL, errno.ENOENT):
                raise
            break
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def check_netns(path: str, wish: str) -> None:
    """Make sure that ``path`` is a network namespace; ``wish`` begins the message.

    Raises:
        NotFound: there is nothing.
        Usage: it is something else or can't be opened.
    """
    try:
        fits = netns.is_netns(path)
    except FileNotFoundError as cause:
        raise NotFound(
            f"{wish}: there is no {path}", remedy="list what there is with: lsns -t net -o NS,PID,NSFS"
        ) from cause
    except OSError as cause:
        raise Usage(f"{wish}: cannot open {path}: {cause.strerror}") from cause
    if not fits:
        raise Usage(f"{wish}: {path} is no network namespace")
