"""Network namespaces kept by a bind mount, and what a namespace file is."""

from __future__ import annotations

import os

from rootless_pod.linux import link, mount, namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Source: linux/nsfs.h.
NS_GET_NSTYPE = 0xB703


def bind_new(path: str) -> None:
    """Make a network namespace with ``lo`` up and bind it at the existing file ``path``.

    Raises:
        OSError: a call failed; nothing is bound.
    """

    def work() -> None:
        namespaces.unshare(namespaces.CLONE_NEWNET)
        link.set_up("lo")
        mount.bind("/proc/thread-self/ns/net", path, recursive=False)

    in_thread(work)


def in_thread(work: Callable[[], None]) -> None:
    """Do ``work`` in a thread that ends with it: there it may go to other network namespaces.

    unshare(2) and setns(2) of the network concern one thread only, so this process stays where it is. Going back with
    setns(2) would need privilege over the host's namespace, and a forked child costs five times as much.
    The thread is gone from /proc when this returns, so that what wants one thread (setns, fork) still works.
    What ``work`` raises is raised here.
    """
    import _thread

    failures: list[BaseException] = []
    native_id: list[int] = []
    done = _thread.allocate_lock()

    def run() -> None:
        try:
            native_id.append(_thread.get_native_id())
            work()
        except BaseException as cause:  # raised again by the caller's thread
            failures.append(cause)
        finally:
            done.release()

    done.acquire()
    _thread.start_new_thread(run, ())
    done.acquire()
    while native_id and os.path.exists(f"/proc/self/task/{native_id[0]}"):
        os.sched_yield()
    if failures:
        raise failures[0]


def enter(fd: int) -> None:
    """Move this thread into the network namespace behind ``fd`` (raises OSError)."""
    namespaces.setns(fd, namespaces.CLONE_NEWNET)


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
