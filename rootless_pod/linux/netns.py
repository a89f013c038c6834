"""Network namespaces kept by a bind mount, and what a namespace file is."""

from __future__ import annotations

import os

from rootless_pod.linux import link, mount, namespaces

# Source: linux/nsfs.h.
NS_GET_NSTYPE = 0xB703


def bind_new(path: str) -> None:
    """Make a network namespace with ``lo`` up and bind it at the existing file ``path``.

    A thread makes it: unshare(2) of the network concerns one thread only, so this process stays where it is. Going
    back with setns(2) would need privilege over the host's namespace, and a forked child costs five times as much.
    The thread is gone from /proc when this returns, so that what wants one thread (setns, fork) still works.

    Raises:
        OSError: a call failed; nothing is bound.
    """
    import _thread

    failures: list[BaseException] = []
    native_id: list[int] = []
    done = _thread.allocate_lock()

    def work() -> None:
        try:
            native_id.append(_thread.get_native_id())
            namespaces.unshare(namespaces.CLONE_NEWNET)
            link.set_up("lo")
            mount.bind("/proc/thread-self/ns/net", path, recursive=False)
        except BaseException as cause:  # raised again by the caller's thread
            failures.append(cause)
        finally:
            done.release()

    done.acquire()
    _thread.start_new_thread(work, ())
    done.acquire()
    while native_id and os.path.exists(f"/proc/self/task/{native_id[0]}"):
        os.sched_yield()
    if failures:
        raise failures[0]


def is_netns(path: str) -> bool:
    """Tell whether ``path`` is a file of a network namespace (raises OSError where it can't be opened)."""
    import fcntl

    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(fd, NS_GET_NSTYPE) == namespaces.CLONE_NEWNET
    except OSError:
        return False
    finally:
        os.close(fd)
