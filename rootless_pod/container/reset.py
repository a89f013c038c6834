"""``system reset``: give back everything that rpod keeps, and nothing else.

Only roots that carry rpod's marker are emptied, and in them only what rpod makes. No program is needed for it: what
runs is ended by signals. A kill at any moment leaves less than before, and the marker goes last.
"""

from __future__ import annotations

import os

from rootless_pod.container.cleanup import attempt
from rootless_pod.container.context import Context
from rootless_pod.container.damaged import end_all
from rootless_pod.container.interrupted import end_process
from rootless_pod.container.migrate import end_pause
from rootless_pod.container.remove import unmount_below
from rootless_pod.errors import HostUnready, Refused
from rootless_pod.linux import procfs
from rootless_pod.linux.tree import remove_tree
from rootless_pod.paths import MARKER, is_marked, is_of_another_store, is_own_entry
from rootless_pod.state.containers import is_id
from rootless_pod.userns.pause import read_pause
from rootless_pod.volumes import volume as volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless_pod.paths import Paths


def check_roots(paths: Paths) -> list[str]:
    """Return the roots to empty: those that are there. Call it outside the user's namespace.

    Raises:
        Refused: one of them is not rpod's alone, so nothing is touched.
    """
    roots = [root for root in dict.fromkeys((paths.graphroot, paths.runroot)) if os.path.lexists(root)]
    for root in roots:
        fault = _fault_of(root)
        if fault:
            raise Refused(f"{root} is not reset: {fault}", remedy="remove by hand what you don't want to keep")
    return roots


def _fault_of(root: str) -> str:
    """Return why ``root`` must not be emptied, "" if it may."""
    if os.path.islink(root):
        return f"it is a symbolic link to {os.readlink(root)}"
    if not os.path.isdir(root):
        return "it is no directory"
    real = os.path.realpath(root)
    home = os.path.realpath(os.environ.get("HOME") or "/")
    if real == "/" or f"{home}/".startswith(f"{real}/"):
        return "it is or holds your home directory" if real != "/" else "it is the root directory"
    if not is_marked(root):
        return f"it has no file {MARKER}, which rpod leaves in a directory that it made"
    below = [point for point, _kind, _source in procfs.mount_points() if point.startswith(f"{real}/")]
    return f"something is mounted in it: umount {below[0]}" if below else ""


def reset(paths: Paths, roots: list[str], enter: Callable[[], Context]) -> Iterator[str]:
    """End everything and delete what is rpod's in ``roots``; yield what is left there because it is not.

    Raises:
        HostUnready: the user's namespace can't be joined, and without it files of sub-ids can't be removed.
    """
    os.makedirs(paths.bootroot, mode=0o700, exist_ok=True)
    context = enter()
    held = read_pause(paths)
    for container_id in _ids(paths):
        attempt(end_all, context, container_id)
    for pid in _companions(paths):
        end_process(pid, None)
    for name in volumes.names(paths):
        if os.path.exists(f"{paths.volumes}/{name}/driver.json"):
            attempt(volumes.remove, paths, name)  # mounts would be in the way, and plugins have their part of it
    for root in roots:
        yield from _empty(root, paths.store)
    if held is not None:
        end_pause(held)
    for root in roots:
        if not any(is_of_another_store(name, paths.store) for name in os.listdir(root)):
            _drop(root)


def _ids(paths: Paths) -> list[str]:
    """Return the ids of all containers, also of those that left no more than a bundle."""
    found: set[str] = set()
    for directory in (paths.containers, paths.bundles):
        try:
            found.update(name for name in os.listdir(directory) if is_id(name))
        except OSError:
            continue
    return sorted(found)


def _companions(paths: Paths) -> Iterator[int]:
    """Yield the processes rpod left running for this store (waits for restarts, health checks), not our own line."""
    own = set()
    pid = os.getpid()
    while pid > 1:
        own.add(pid)
        pid = _parent_of(pid)
    mark = b"\0".join(os.fsencode(word) for word in ("--root", paths.graphroot, "--runroot", paths.runroot, ""))
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in own:
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    text = file.read()
            except OSError:
                continue
            if mark in text:
                yield int(name)


def _parent_of(pid: int) -> int:
    try:
        return int(procfs.read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _empty(root: str, store: str) -> Iterator[str]:
    """Delete what rpod made in ``root`` apart from the marker; links go, what they lead to stays.

    What other stores have in a runroot stays with it.
    """
    for name in sorted(os.listdir(root)):
        path = f"{root}/{name}"
        if name == MARKER or is_of_another_store(name, store):
            continue
        if not is_own_entry(name):
            yield path
            continue
        unmount_below(path)
        try:
            remove_tree(path)
        except OSError as cause:
            raise HostUnready(
                f"cannot remove {path}: {cause.strerror}", remedy=f"see what holds it: findmnt {path}; ls -la {path}"
            ) from cause


def _drop(root: str) -> None:
    """Remove an empty root with its marker; one that is a mount point, or holds what is not ours, stays without it."""
    attempt(os.unlink, f"{root}/{MARKER}")
    if not os.path.ismount(root):
        attempt(os.rmdir, root)
