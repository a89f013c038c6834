"""The mounts of one container: what was asked for, what it had before, what other containers lend. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.context import Context
    from rootless_pod.container.record import ContainerConfig
    from rootless_pod.oci.image import Image
    from rootless_pod.oci.runtime import ResolvedMount
    from rootless_pod.volumes.resolve import MountRequest


def find_volumes(
    context: Context, config: ContainerConfig, image: Image | None, rootfs: str, state: dict[str, Any]
) -> tuple[ResolvedMount, ...]:
    """Look up what is to be mounted, make the volumes that are missing, and note both in ``state``."""
    request = config.request
    image_volumes = image.config.volumes if image is not None else ()
    if not (request.mounts or request.volumes_from or image_volumes):
        state["mounts"] = []
        return ()
    from rootless_pod.volumes.resolve import resolve

    known: dict[str, str] = state.get("anonymous_volumes") or {}
    wanted = wanted_mounts(context, config, known, image_volumes)
    images = {one.target for one in wanted if one.kind == "image"}
    if images:
        from rootless_pod.container.image_mounts import as_binds

        wanted = as_binds(context, config.id, wanted)
    wanted = _with_drivers(context, config, wanted, rootfs)
    volumes = resolve(
        wanted,
        paths=context.paths,
        image_volumes=image_volumes,
        image_volume=request.process.image_volume,
        rootfs=rootfs,
        overlay_dir=f"{context.paths.container(config.id)}/overlays",
    )
    state["anonymous_volumes"] = {**known, **{one.target: one.volume for one in volumes if one.anonymous}}
    state["mounts"] = [shown_mount(one) for one in volumes if one.target not in images]
    return volumes


def _with_drivers(
    context: Context, config: ContainerConfig, wanted: tuple[MountRequest, ...], rootfs: str
) -> tuple[MountRequest, ...]:
    """Have the volumes mounted that are no plain directories."""
    from rootless_pod.volumes.volume import is_driven

    if not any(one.kind == "volume" and one.source and is_driven(context.paths, one.source) for one in wanted):
        return wanted
    from rootless_pod.volumes.mounted import with_mounts

    return with_mounts(context.paths, config.id, wanted, rootfs)


def wanted_mounts(
    context: Context, config: ContainerConfig, known: dict[str, str], image_volumes: tuple[str, ...]
) -> tuple[MountRequest, ...]:
    """Return the mounts asked for; ``known`` (destination → volume) are the anonymous volumes of an earlier start."""
    from rootless_pod.volumes.resolve import MountRequest

    wanted = [
        one.replace(source=known[one.target])
        if one.kind == "volume" and not one.source and one.target in known
        else one
        for one in config.request.mounts
    ]
    targets = {one.target for one in wanted}
    for one in inherited_mounts(context, config):
        if one.target not in targets:
            wanted.append(one)
            targets.add(one.target)
    targets = {one.target for one in wanted}
    wanted += [
        MountRequest(kind="volume", target=target, source=known[target])
        for target in image_volumes
        if target in known and target not in targets
    ]
    return tuple(wanted)


def inherited_mounts(context: Context, config: ContainerConfig) -> list[MountRequest]:
    """Return the mounts of the containers named by ``--volumes-from``, as their state shows them."""
    from rootless_pod.volumes.resolve import MountRequest

    inherited: list[MountRequest] = []
    for word in config.request.volumes_from:
        from rootless_pod.container.lookup import find

        name, _colon, options = word.partition(":")
        other = find(context.paths, name)
        if not other.state.get("mounts") and other.config.request.mounts:
            inherited += other.config.request.mounts
        for one in other.state.get("mounts", ()):
            kind = "volume" if one.get("Name") else "bind"
            if one["Type"] in ("bind", "volume"):
                given = (*one["Options"], "rw" if one["RW"] and "ro" not in options.split(",") else "ro")
                inherited.append(
                    MountRequest(
                        kind=kind,
                        target=one["Destination"],
                        source=one.get("Name") or one["Source"],
                        options=given,
                        copy_up=False,
                        where=f"--volumes-from {word}",
                    )
                )
    return inherited


def shown_mount(mount: Any) -> dict[str, Any]:
    """Return a resolved mount as ``inspect`` shows it."""
    shown = {
        "Type": "volume" if mount.volume else mount.type,
        "Source": mount.source,
        "Destination": mount.target,
        "Driver": mount.driver,
        "Mode": "",
        "Options": [option for option in mount.options if option not in ("ro", "rw")],
        "RW": "ro" not in mount.options,
        "Propagation": "rprivate",
    }
    return {**shown, "Name": mount.volume} if mount.volume else shown
