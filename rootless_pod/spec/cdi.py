"""CDI devices (``vendor/class=name``): found in the files that describe them, and turned into what a container gets."""

from __future__ import annotations

import os
import stat

from rootless_pod.errors import Conflict, Corrupt, HostUnready, NotFound, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.oci.mountoptions import bind_options, locked, tmpfs_options
from rootless_pod.oci.runtime import ResolvedMount
from rootless_pod.spec.cdi_file import DeviceFile, Edits, Mount, Node, is_device, is_kind, read_device_file
from rootless_pod.spec.devices import node_mount
from rootless_pod.spec.hooks import check_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rootless_pod.spec.hooks import Hook

DEFAULT_DIRECTORIES = ("/etc/cdi", "/var/run/cdi")
GPU_KIND = "nvidia.com/gpu"
_ALL = "all"
_GENERATE = "nvidia-ctk cdi generate --output=FILE"


class Devices(Frozen):
    """What the wanted devices are to a container; ``warnings`` are sentences for the user."""

    env: tuple[str, ...] = ()
    mounts: tuple[ResolvedMount, ...] = ()
    hooks: tuple[Hook, ...] = ()
    group_ids: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


def gpu_names(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the devices of ``--gpus``: ``all``, a device's name or number, or ``device=0,1``.

    Raises:
        Usage: another of Docker's words.
    """
    names = [name for text in texts for name in text.strip().strip("\"'").removeprefix("device=").split(",")]
    wrong = next((name for name in names if not is_device(name)), None)
    if wrong is not None:
        raise Usage(f"--gpus: {wrong!r} is not a GPU", remedy="use all, a number such as 0, or device=0,1")
    return tuple(f"{GPU_KIND}={name}" for name in names)


def resolve_devices(names: Iterable[str], directories: Sequence[str] = ()) -> Devices:
    """Find the devices and return all that they change; ``directories`` are looked into instead of the usual ones.

    Raises:
        Usage: a name is malformed.
        NotFound: a device, or what it consists of, is not there.
        Conflict: two files of one directory have the device.
        Corrupt: what a file says of the device is wrong.
        Refused: a hook's program is not executable.
    """
    places = tuple(directories) or DEFAULT_DIRECTORIES
    found, broken = _read_all(places)
    edits, seen = Edits(), set()
    for name in dict.fromkeys(names):
        for file, device in _find(name, found, broken, places):
            if file.path not in seen:
                seen.add(file.path)
                edits = edits.joined(file.edits)
            edits = edits.joined(device)
    resolved = _resolve(edits)
    return resolved.replace(warnings=(*(f"{one}: it was left out" for one in broken), *resolved.warnings))


def _read_all(places: Sequence[str]) -> tuple[list[list[DeviceFile]], list[str]]:
    """Return the files of each directory, and what is wrong with those that can't be read."""
    found: list[list[DeviceFile]] = []
    broken: list[str] = []
    for place in places:
        files: list[DeviceFile] = []
        try:
            names = sorted(os.listdir(place))
        except FileNotFoundError:
            names = []
        except OSError as cause:
            broken.append(f"CDI directory {place} can't be read: {cause.strerror}")
            names = []
        for name in names:
            if not name.startswith(".") and name.endswith((".json", ".yaml", ".yml")):
                try:
                    files.append(read_device_file(f"{place}/{name}"))
                except (Corrupt, HostUnready) as cause:
                    broken.append(f"{cause.message} ({cause.remedy})" if cause.remedy else cause.message)
        found.append(files)
    return found, broken


def _find(
    text: str, found: list[list[DeviceFile]], broken: list[str], places: Sequence[str]
) -> list[tuple[DeviceFile, Edits]]:
    kind, equals, name = text.partition("=")
    if not equals or not is_kind(kind) or not is_device(name):
        raise Usage(f"--device {text}: not the name of a device", remedy="write VENDOR/CLASS=NAME, or /dev/NODE")
    known = dict.fromkeys(one for files in found for file in files if file.kind == kind for one in file.devices)
    if name == _ALL and name not in known and known:
        return [_pick(kind, one, found) for one in known]
    if name in known:
        return [_pick(kind, name, found)]
    others = f"; of {kind} there are {', '.join(known)}" if known else ""
    wrong = f"; {'; '.join(broken)}" if broken else ""
    raise NotFound(
        f"CDI device {text} is not known: looked in {', '.join(places)}{others}{wrong}",
        remedy=f"have an administrator, or yourself, make the file: {_GENERATE} (in one of the directories, "
        "or name yours with --cdi-spec-dir DIR)",
        exit_code=125,
    )


def _pick(kind: str, name: str, found: list[list[DeviceFile]]) -> tuple[DeviceFile, Edits]:
    """Return the device of the last directory that has it."""
    for files in reversed(found):
        having = [file for file in files if file.kind == kind and name in file.devices]
        if len(having) > 1:
            raise Conflict(
                f"CDI device {kind}={name} is in {' and in '.join(file.path for file in having)}",
                remedy="remove one of the files, or name another directory with --cdi-spec-dir DIR",
            )
        if having:
            return having[0], having[0].devices[name]
    raise AssertionError(name)


def _resolve(edits: Edits) -> Devices:
    warnings = [f"{one}: it was left out" for one in dict.fromkeys(edits.unmet)]
    mounts: dict[str, ResolvedMount] = {}
    for node in edits.nodes:
        mounts[node.path] = _bind_node(node, warnings)
    for mount in edits.mounts:
        mounts[mount.path] = _bind(mount)
    for hook in edits.hooks:
        if hook.stages != ("startContainer",):
            check_program(hook)
    return Devices(
        env=edits.env,
        mounts=tuple(mounts.values()),
        hooks=edits.hooks,
        group_ids=tuple(dict.fromkeys(edits.group_ids)),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _bind_node(node: Node, warnings: list[str]) -> ResolvedMount:
    """Return the bind of a host's node, which has to be the one the file means."""
    try:
        found = os.stat(node.host_path)
    except OSError as cause:
        raise NotFound(
            f"CDI: stat {node.host_path}: {(cause.strerror or '').lower()}",
            remedy=f"the file may be older than the driver; make it anew: {_GENERATE}",
            exit_code=125,
        ) from cause
    kind = next(
        (letter for letter, test in (("b", stat.S_ISBLK), ("c", stat.S_ISCHR), ("p", stat.S_ISFIFO))
         if test(found.st_mode)), "")  # fmt: skip
    wanted = "c" if node.kind == "u" else node.kind
    numbers = (os.major(found.st_rdev), os.minor(found.st_rdev))
    meant = (node.major if node.major >= 0 else numbers[0], node.minor if node.minor >= 0 else numbers[1])
    # A file that leaves both numbers 0 says nothing, as in the reference implementation.
    if not kind or (wanted and wanted != kind) or (meant not in (numbers, (0, 0)) and kind != "p"):
        raise Corrupt(
            f"CDI: {node.host_path} is not the device that the file means "
            f"({wanted or 'any'} {meant[0]}:{meant[1]}; here it is {kind or 'no device'} {numbers[0]}:{numbers[1]})",
            remedy=f"make the file anew: {_GENERATE}",
        )
    access = (os.R_OK if "r" in node.permissions else 0) | (os.W_OK if "w" in node.permissions else 0)
    if not os.access(node.host_path, access):
        warnings.append(
            f"you may not open {node.host_path} ({node.permissions}) on the host, so the container can't either; if a "
            "group of yours may, use --group-add keep-groups"
        )
    return node_mount(node.host_path, node.path)


def _bind(mount: Mount) -> ResolvedMount:
    if mount.kind == "tmpfs":
        options = tmpfs_options(mount.options, mount.where)
        return ResolvedMount(source="tmpfs", target=mount.path, type="tmpfs", options=options)
    try:
        flags = os.statvfs(mount.host_path).f_flag
    except OSError as cause:
        raise NotFound(
            f"{mount.where}: {mount.host_path}: {(cause.strerror or '').lower()}",
            remedy=f"the file may be older than the driver; make it anew: {_GENERATE}",
            exit_code=125,
        ) from cause
    options = locked(bind_options(mount.options, mount.where), flags)
    return ResolvedMount(source=mount.host_path, target=mount.path, options=options)
