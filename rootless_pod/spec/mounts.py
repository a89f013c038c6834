"""The mount table of a container: what every one has, what the options add, in the order of mounting. HOT.

Source: podman 4.3.1 (probed); runtime-spec config.md, "Mounts".
"""

from __future__ import annotations

import os

from rootless_pod.errors import NotFound, Refused, Usage
from rootless_pod.oci.mountoptions import locked, tmpfs_options
from rootless_pod.oci.runtime import ResolvedMount, depth
from rootless_pod.spec.namespaces import HOST, NEW
from rootless_pod.spec.process import INIT_TARGET
from rootless_pod.spec.quantities import parse_size
from rootless_pod.spec.rootless import to_parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rootless_pod.spec.host import HostFacts
    from rootless_pod.spec.namespaces import Namespaces
    from rootless_pod.spec.request import SpecRequest
    from rootless_pod.spec.rootless import UserMapping
    from rootless_pod.userns.idmap import IdMap

_QUIET = ("nosuid", "noexec", "nodev")
_SCRATCH = ("rw", "rprivate", "nosuid", "nodev", "tmpcopyup")
_DEFAULT_SHM = 65536 << 10
_TTY_GID = 5
_SHM = "/dev/shm"  # noqa: S108 - in the container, or the host's where asked for
_ZONEINFO = "/usr/share/zoneinfo"


def binds_sys(namespaces: Namespaces) -> bool:
    """Tell whether /sys has to be the host's.

    A fresh sysfs needs a network namespace that belongs to the container's own user namespace.
    """
    return namespaces.net == HOST or (namespaces.user != HOST and namespaces.net != NEW)


def kernel_mounts(
    request: SpecRequest,
    namespaces: Namespaces,
    host: HostFacts,
    *,
    mapping: UserMapping,
    id_map: IdMap,
    proc_options: Sequence[str] = (),
    writable_cgroup: bool = False,
) -> tuple[ResolvedMount, ...]:
    """Return /proc, /dev, /sys and what lies below them."""
    mounts = [
        _proc(namespaces, proc_options),
        _made("/dev", "tmpfs", ("nosuid", "noexec", "strictatime", "mode=755", "size=65536k")),
        _sys(namespaces, privileged=request.privileged),
        _made("/dev/pts", "devpts", _devpts_options(mapping, id_map)),
        *_message_queue(namespaces),
        *_shared_memory(request, namespaces),
    ]
    if host.cgroups.layout != "none" and not binds_sys(namespaces):
        right = "rw" if request.privileged or writable_cgroup else "ro"
        options = ("rprivate", *_QUIET, "relatime", right)
        mounts.append(_made("/sys/fs/cgroup", "cgroup", options))
    return tuple(mounts)


def _made(target: str, kind: str, options: tuple[str, ...]) -> ResolvedMount:
    return ResolvedMount(source=kind, target=target, type=kind, options=options)


def _bind(source: str, target: str, *options: str) -> ResolvedMount:
    return ResolvedMount(source=source, target=target, type="bind", options=("bind", "rprivate", *options))


def _proc(namespaces: Namespaces, options: Sequence[str]) -> ResolvedMount:
    if namespaces.pid == HOST:
        return ResolvedMount(source="/proc", target="/proc", type="bind", options=("rbind", "rprivate", *_QUIET))
    return _made("/proc", "proc", (*_QUIET, *options))


def _sys(namespaces: Namespaces, *, privileged: bool) -> ResolvedMount:
    right = "rw" if privileged else "ro"
    if binds_sys(namespaces):
        return ResolvedMount(source="/sys", target="/sys", type="bind", options=("rbind", "rprivate", *_QUIET, right))
    return _made("/sys", "sysfs", (*_QUIET, right))


def _devpts_options(mapping: UserMapping, id_map: IdMap) -> tuple[str, ...]:
    """Return them with the tty group only where its id exists."""
    ranges = mapping.gids if mapping.own else id_map.gids
    known = bool(mapping.path) or to_parent(ranges, _TTY_GID) is not None
    options = ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")
    return (*options, f"gid={_TTY_GID}") if known else options


def _message_queue(namespaces: Namespaces) -> tuple[ResolvedMount, ...]:
    if namespaces.ipc == HOST:
        return (_bind("/dev/mqueue", "/dev/mqueue", *_QUIET),) if os.path.isdir("/dev/mqueue") else ()
    if namespaces.ipc != NEW and namespaces.user != HOST:
        return ()  # somebody else's namespace: the kernel refuses a fresh mount of its queues
    return (_made("/dev/mqueue", "mqueue", _QUIET),)


def _shared_memory(request: SpecRequest, namespaces: Namespaces) -> tuple[ResolvedMount, ...]:
    if not namespaces.shared_memory:
        return ()
    if namespaces.ipc == HOST:
        source = _SHM
    elif namespaces.ipc.startswith("/proc/"):
        source = f"/proc/{namespaces.ipc.split('/')[2]}/root/dev/shm"
    else:
        size = parse_size(request.shm_size, "--shm-size") if request.shm_size else _DEFAULT_SHM
        options = (*_QUIET, "mode=1777", f"size={size}")
        return (ResolvedMount(source="shm", target=_SHM, type="tmpfs", options=options),)
    if request.shm_size:
        raise Usage("--shm-size can't be set for shared memory that belongs to the host or another container")
    return (_bind(source, _SHM, *_QUIET),)


def file_mounts(request: SpecRequest, *, run_dir: str, accounts: bool) -> tuple[ResolvedMount, ...]:
    """Return the binds of single files: names, .containerenv, the init program, the time zone.

    ``accounts``: passwd and group are shown as the copies in ``run_dir``.
    """
    options = ("ro", *_QUIET) if request.read_only else ()
    wanted = (
        ("hosts", "/etc/hosts", request.bind_hosts),
        ("resolv.conf", "/etc/resolv.conf", request.bind_resolv_conf),
        ("hostname", "/etc/hostname", request.bind_hostname),
        ("passwd", "/etc/passwd", accounts),
        ("group", "/etc/group", accounts),
        (".containerenv", "/run/.containerenv", True),
    )
    mounts = [_bind(f"{run_dir}/{name}", target, *options) for name, target, asked in wanted if asked]
    if request.init:
        program = _init_program(request)
        flags = os.statvfs(program).f_flag
        mounts.append(_bind(program, INIT_TARGET, *locked(("ro",), flags)))
    if request.timezone:
        mounts.append(_bind(_zone_file(request.timezone), "/etc/localtime", "ro", *_QUIET))
    return tuple(mounts)


def _init_program(request: SpecRequest) -> str:
    if not request.init_path or not os.path.exists(request.init_path):
        raise NotFound(
            f"--init: no init program{' at ' + request.init_path if request.init_path else ''}",
            remedy="install catatonit, or name one with --init-path",
        )
    return request.init_path


def _zone_file(zone: str) -> str:
    path = os.path.realpath("/etc/localtime" if zone == "local" else f"{_ZONEINFO}/{zone}")
    if ".." in zone or zone.startswith("/") or not os.path.isfile(path):
        raise NotFound(f"--tz: no time zone {zone!r} in {_ZONEINFO}", remedy="use a name such as Europe/Berlin")
    return path


def scratch_mounts(request: SpecRequest, *, systemd: bool) -> tuple[ResolvedMount, ...]:
    """Return the tmpfs mounts that ``--read-only`` and systemd mode bring, where the user mounts nothing there."""
    targets: list[str] = []
    if request.read_only and request.read_only_tmpfs:
        targets += ["/run", "/tmp", "/var/tmp"]  # noqa: S108 - in the container
    if systemd:
        targets += ["/run", "/run/lock", "/tmp", "/var/log/journal"]  # noqa: S108 - in the container
    return tuple(_made(target, "tmpfs", _SCRATCH) for target in dict.fromkeys(targets))


def tmpfs_mounts(texts: Sequence[str]) -> tuple[ResolvedMount, ...]:
    """Parse each ``--tmpfs /dst[:options]``.

    Raises:
        Usage: no absolute path, an unknown option.
    """
    mounts = []
    for text in texts:
        target, _, options = text.partition(":")
        if not target.startswith("/"):
            raise Usage(f"--tmpfs: invalid container path {target!r}, must be an absolute path")
        words = tmpfs_options(options.split(",") if options else (), f"--tmpfs {target}")
        mounts.append(_made(_clean(target), "tmpfs", words))
    return tuple(mounts)


def _clean(path: str) -> str:
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def merge(
    kernel: Iterable[ResolvedMount],
    files: Iterable[ResolvedMount],
    scratch: Iterable[ResolvedMount],
    wanted: Sequence[ResolvedMount],
) -> tuple[ResolvedMount, ...]:
    """Put all mounts in the order of mounting; what the user wants replaces ours at the same place.

    A kernel mount (/dev/pts) also gives way to one above it (/dev).

    Raises:
        Usage: two of the user's mounts have one destination, or one is ``/``.
    """
    targets: set[str] = set()
    for mount in wanted:
        if mount.target in targets:
            raise Usage(f"{mount.target}: duplicate mount destination")
        if mount.target == "/":
            raise Usage("can't mount on / of the container", remedy="use --rootfs DIR to choose the root file system")
        if ".." in mount.target.split("/"):
            raise Refused(f"{mount.target}: a destination can't have '..'")
        targets.add(mount.target)
    kept = [mount for mount in kernel if not _covered(mount.target, targets)]
    kept += [mount for mount in scratch if mount.target not in targets]
    kept += [mount for mount in files if mount.target not in targets]
    return tuple(sorted((*kept, *wanted), key=lambda mount: depth(mount.target)))


def _covered(target: str, targets: set[str]) -> bool:
    path = target
    while path != "/":
        if path in targets:
            return True
        path = os.path.dirname(path)
    return False


def root_propagation(mounts: Iterable[ResolvedMount]) -> str:
    """Return ``linux.rootfsPropagation``: a mount can only receive or share events if the root does ("": default)."""
    words = {word for mount in mounts for word in mount.options}
    if words & {"shared", "rshared"}:
        return "shared"
    return "rslave" if words & {"slave", "rslave"} else ""
