"""Host devices in the container: bind mounts, since no user may make a device node. HOT."""

from __future__ import annotations

import os
import stat

from rootless_pod.errors import NotFound, Refused, Usage
from rootless_pod.oci.runtime import ResolvedMount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OPTIONS = ("rbind", "rprivate", "nosuid", "noexec", "rw")
# Made by every OCI runtime in each container, and file systems of their own.
_STANDARD = frozenset(["null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"])
_OWN_MOUNTS = frozenset(["pts", "shm", "mqueue", "hugepages", "fd"])


def device_mounts(texts: Sequence[str]) -> tuple[ResolvedMount, ...]:
    """Return a bind mount for each ``/dev/x[:/dev/y[:rwm]]``; a directory stands for all devices below it.

    Raises:
        Usage: malformed.
        NotFound: the host has no such device.
        Refused: this user may not open it.
    """
    mounts: list[ResolvedMount] = []
    for text in texts:
        source, target, rights = split_device(text)
        try:
            found = os.stat(source)
        except OSError as cause:
            raise NotFound(
                f"--device: stat {source}: {(cause.strerror or '').lower()}", remedy="see what there is: ls /dev"
            ) from cause
        if stat.S_ISDIR(found.st_mode):
            base = len(source.rstrip("/"))
            mounts += [node_mount(path, target.rstrip("/") + path[base:]) for path in _nodes_below(source)]
            continue
        if not _is_device(found.st_mode):
            raise Usage(f"--device: {source} is not a device node", remedy=f"use --volume {source}:{target}")
        _check_rights(source, rights)
        mounts.append(node_mount(source, target))
    return tuple(mounts)


def is_cdi_name(text: str) -> bool:
    """Tell a CDI name (``vendor.com/class=name``) from a path: such a device is resolved before (``cdi.py``)."""
    return "=" in text and not text.startswith("/")


def split_device(text: str) -> tuple[str, str, str]:
    """Split ``source[:target][:rights]``.

    Raises:
        Usage: malformed.
    """
    parts = text.split(":")
    source, target, rights = parts[0], parts[0], "rwm"
    if len(parts) == 2 and not parts[1].startswith("/"):
        rights = parts[1]
    elif len(parts) in (2, 3):
        target = parts[1]
        rights = parts[2] if len(parts) == 3 else rights
    valid = set(rights) <= set("rwm") and bool(rights)
    if len(parts) > 3 or not source.startswith("/") or not target.startswith("/") or not valid:
        raise Usage(f"invalid device specification: {text}", remedy="write /dev/HOST[:/dev/CONTAINER[:rwm]]")
    return source, target, rights


def _check_rights(source: str, rights: str) -> None:
    """Refuse what could only fail later: in a user namespace the node's own mode decides, not a list of devices."""
    wanted = (os.R_OK if "r" in rights else 0) | (os.W_OK if "w" in rights else 0)
    if not os.access(source, wanted):
        raise Refused(
            f"--device: you may not open {source} ({rights}) on the host",
            remedy="as root: give your group access to it (usermod -aG GROUP USER), and use --group-add keep-groups",
        )


def privileged_devices(root: str = "/dev") -> tuple[ResolvedMount, ...]:
    """Return a bind mount for each device node of the host that this user can open (``--privileged``)."""
    return tuple(node_mount(path, f"/dev{path[len(root) :]}") for path in sorted(_nodes_below(root)))


def node_mount(source: str, target: str) -> ResolvedMount:
    """Return the bind mount of one node."""
    return ResolvedMount(source=source, target=target, type="bind", options=_OPTIONS)


def _is_device(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _nodes_below(directory: str, *, top: bool = True) -> Iterator[str]:
    try:
        entries = list(os.scandir(directory))
    except OSError:
        return
    for entry in entries:
        if top and (entry.name in _STANDARD or entry.name in _OWN_MOUNTS):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _nodes_below(entry.path, top=False)
        elif _usable(entry):
            yield entry.path


def _usable(entry: os.DirEntry[str]) -> bool:
    try:
        mode = entry.stat(follow_symlinks=False).st_mode
    except OSError:
        return False
    name = entry.name
    terminal = name.startswith("tty") and name[3:4] in ("", *"0123456789")
    return _is_device(mode) and not terminal and os.access(entry.path, os.R_OK | os.W_OK)
