"""``-v``, ``--mount`` and an image's VOLUMEs → the mounts of one container. HOT.

Source: podman-run(1), --volume and --mount; podman 4.3.1 (probed) for words and errors.
"""

from __future__ import annotations

import os

from rootless_pod.errors import NotFound, Refused, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.oci.mountoptions import bind_options, locked, tmpfs_options
from rootless_pod.oci.runtime import ResolvedMount, depth
from rootless_pod.state.names import check_name
from rootless_pod.volumes import volume as store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rootless_pod.paths import Paths

_FORMAT = "write [SOURCE:]DESTINATION[:OPTIONS], as in -v ./data:/data:ro"


class MountRequest(Frozen):
    """One ``-v`` or ``--mount``, parsed but not looked up.

    ``kind`` is bind, volume, tmpfs, ramfs, devpts, glob or image; ``source`` a path as typed, a volume's name ("" = an
    anonymous volume) or an image's (``container/image_mounts.py`` makes a bind of it).
    """

    kind: str
    target: str
    source: str = ""
    options: tuple[str, ...] = ()
    copy_up: bool = True
    chown: bool = False
    overlay: bool = False
    upper: str = ""
    work: str = ""
    subpath: str = ""
    mounted: str = ""  # where a volume of another driver has been mounted for this container
    where: str = ""  # how the user wrote it, for errors


def parse_volume(text: str) -> MountRequest:
    """Parse ``[source:]destination[:options]``.

    Raises:
        Usage: malformed, a relative destination, a name that can't be a volume's.
    """
    parts = text.split(":")
    where = f"--volume {text}"
    if not 1 <= len(parts) <= 3 or not parts[-1 if len(parts) == 1 else 1]:
        raise Usage(f"incorrect volume format: {text!r}", remedy=_FORMAT)
    if len(parts) == 1:
        return MountRequest(kind="volume", target=check_target(parts[0], where), where=where)
    source, target = parts[0], check_target(parts[1], where)
    if not source:
        raise Usage(f"incorrect volume format: {text!r}: the source is empty", remedy=_FORMAT)
    kind = "bind" if source.startswith(("/", ".")) else "volume"
    if kind == "volume":
        check_name(source)
    return with_options(kind, source, target, parts[2].split(",") if len(parts) == 3 else [], where)


def with_options(kind: str, source: str, target: str, words: Sequence[str], where: str) -> MountRequest:
    """Make a request of a source, a destination and the words after it: some say what to do, the kernel gets the rest.

    Raises:
        Usage: unknown or contradictory words.
    """
    kept: list[str] = []
    copy_up, chown, overlay, upper, work = True, False, False, "", ""
    for word in words:
        key, _, value = word.partition("=")
        if word in ("copy", "nocopy"):
            copy_up = word == "copy"
        elif word == "U":
            chown = True
        elif word == "O":
            overlay = True
        elif key == "upperdir" and value:
            upper = value
        elif key == "workdir" and value:
            work = value
        else:
            kept.append(word)
    if (upper or work) and not (overlay and upper and work):
        raise Usage(f"{where}: upperdir and workdir go together, and with the option O")
    options = bind_options(kept, where, volume=kind == "volume")
    return MountRequest(
        kind=kind,
        source=source,
        target=target,
        options=options,
        copy_up=copy_up,
        chown=chown,
        overlay=overlay,
        upper=upper,
        work=work,
        where=where,
    )


def check_target(path: str, where: str) -> str:
    """Return the destination without empty and ``.`` components.

    Raises:
        Usage: relative, ``/`` itself, or with ``..``.
    """
    if not path.startswith("/"):
        raise Usage(f"{where}: invalid container path {path!r}, must be an absolute path")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise Usage(f"{where}: {path!r} can't be a destination")
    return "/" + "/".join(parts)


def parse_mount(text: str) -> MountRequest:
    """Parse ``type=KIND,source=…,destination=…,…``; see ``volumes/mountflag.py``."""
    from rootless_pod.volumes.mountflag import parse

    return parse(text)


def resolve(
    requests: Iterable[MountRequest],
    *,
    paths: Paths,
    image_volumes: Sequence[str] = (),
    image_volume: str = "bind",
    rootfs: str | None = None,
    overlay_dir: str | None = None,
) -> tuple[ResolvedMount, ...]:
    """Look everything up and make the volumes that are missing; parents come before children.

    ``image_volumes`` are the image's VOLUMEs; ``image_volume`` (``bind``, ``tmpfs``, ``ignore``) is what becomes of
    those nobody mounted on. ``rootfs`` is the mounted root file system new volumes are filled from. ``overlay_dir``
    is where the upper directories of ``O`` mounts may lie. After a failure no anonymous volume of this call is left.

    Raises:
        Usage: two mounts with one destination, or a wrong mode.
        NotFound: a source is missing.
    """
    wanted = _expanded(requests)
    wanted += _image_requests(image_volumes, image_volume, {request.target for request in wanted})
    seen: set[str] = set()
    for request in wanted:
        if request.target in seen:
            raise Usage(f"{request.target}: duplicate mount destination")
        seen.add(request.target)
    mounts: list[ResolvedMount] = []
    try:
        for request in wanted:
            mounts.append(_resolve_one(request, paths, rootfs, overlay_dir))  # noqa: PERF401 - undone on failure
    except BaseException:
        for mount in mounts:
            if mount.anonymous:
                store.remove(paths, mount.volume)
        raise
    return tuple(sorted(mounts, key=lambda mount: depth(mount.target)))


def _expanded(requests: Iterable[MountRequest]) -> list[MountRequest]:
    wanted: list[MountRequest] = []
    for request in requests:
        if request.kind != "glob":
            wanted.append(request)
            continue
        from glob import glob

        found = sorted(glob(os.path.abspath(request.source)))
        if not found:
            raise NotFound(f"{request.where}: nothing matches {request.source!r}")
        for path in found:
            target = f"{request.target}/{os.path.basename(path)}" if request.target else path
            wanted.append(request.replace(kind="bind", source=path, target=target))
    return wanted


def _image_requests(volumes: Sequence[str], mode: str, taken: set[str]) -> list[MountRequest]:
    if mode not in ("bind", "anonymous", "tmpfs", "ignore"):
        raise Usage(f"--image-volume {mode!r} is not a mode", remedy="use anonymous, bind, tmpfs or ignore")
    if mode == "ignore":
        return []
    requests = []
    for path in volumes:
        where = f"the image's volume {path}"
        target = check_target(path if path.startswith("/") else f"/{path}", where)
        if target in taken:
            continue
        if mode == "tmpfs":
            requests.append(MountRequest(kind="tmpfs", target=target, options=tmpfs_options((), where), where=where))
        else:
            options = bind_options((), where, volume=True)
            requests.append(MountRequest(kind="volume", target=target, options=options, where=where))
    return requests


def _resolve_one(request: MountRequest, paths: Paths, rootfs: str | None, overlay_dir: str | None) -> ResolvedMount:
    if request.kind in ("tmpfs", "ramfs", "devpts"):
        return ResolvedMount(
            source=request.kind,
            target=request.target,
            type=request.kind,
            options=request.options,
            chown=request.chown,
        )
    mount = _volume_mount(request, paths, rootfs) if request.kind == "volume" else _bind_mount(request)
    return _overlay(request, mount, overlay_dir) if request.overlay else mount


def _bind_mount(request: MountRequest) -> ResolvedMount:
    source = os.path.abspath(request.source)
    try:
        flags = os.statvfs(source).f_flag
    except OSError as cause:
        reason = (cause.strerror or "").lower()
        remedy = (
            f"mkdir -p {source}"
            if isinstance(cause, FileNotFoundError)
            else f"make it reachable for you: namei -l {source}"
        )
        raise NotFound(f"statfs {source}: {reason}", remedy=remedy) from cause
    options = request.options or bind_options((), request.where)
    return ResolvedMount(source=source, target=request.target, options=locked(options, flags), chown=request.chown)


def _volume_mount(request: MountRequest, paths: Paths, rootfs: str | None) -> ResolvedMount:
    anonymous = not request.source
    found = store.create(paths, request.source or None, anonymous=anonymous, exist_ok=True)
    if request.mounted:
        found = found.replace(path=request.mounted, needs_copy_up=False)
    give = False
    try:
        if found.needs_copy_up and request.copy_up and rootfs is not None:
            give = store.fill(paths, found, rootfs, request.target) == "absent" and not found.detail
        source = store.inner_path(found, request.subpath) if request.subpath else found.path
    except BaseException:
        if anonymous:
            store.remove(paths, found.name)
        raise
    options = request.options or bind_options((), request.where, volume=True)
    return ResolvedMount(
        source=source,
        target=request.target,
        options=options,
        chown=request.chown or give,
        volume=found.name,
        driver=found.driver,
        anonymous=anonymous,
    )


def _overlay(request: MountRequest, mount: ResolvedMount, overlay_dir: str | None) -> ResolvedMount:
    """Turn a bind into an overlay whose writes are thrown away with the container (or kept in ``upperdir``)."""
    upper, work = os.path.abspath(request.upper), os.path.abspath(request.work)
    if not request.upper:
        if overlay_dir is None:
            raise Refused(f"{request.where}: there is no place for the writes of an O mount here")
        # "/a/b" and "/a-b" are two places.
        name = mount.target.strip("/").replace("%", "%25").replace("-", "%2D").replace("/", "-")
        upper, work = f"{overlay_dir}/{name}/upper", f"{overlay_dir}/{name}/work"
        for path in (upper, work):
            os.makedirs(path, mode=0o755, exist_ok=True)
    for path in (mount.source, upper, work):
        if set(path) & set(":,\\"):
            raise Refused(f"{request.where}: an O mount can't have ':', ',' or '\\' in the path {path!r}")
        if not os.path.isdir(path):
            raise NotFound(f"{request.where}: {path} is not a directory")
    return ResolvedMount(
        source="overlay",
        target=mount.target,
        type="overlay",
        options=(f"lowerdir={mount.source}", f"upperdir={upper}", f"workdir={work}", "userxattr"),
        volume=mount.volume,
        driver=mount.driver,
        anonymous=mount.anonymous,
    )
