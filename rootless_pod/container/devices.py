"""The CDI devices of a container: resolved anew at each start, as what they consist of may have changed."""

from __future__ import annotations

from rootless_pod import log
from rootless_pod.spec.cdi import Devices, resolve_devices
from rootless_pod.spec.devices import is_cdi_name
from rootless_pod.spec.rootless import to_parent
from rootless_pod.spec.user import KEEP_GROUPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.oci.runtime import ResolvedMount
    from rootless_pod.spec.hooks import Hook
    from rootless_pod.spec.request import SpecRequest


def with_devices(
    context: Context, process: SpecRequest, volumes: tuple[ResolvedMount, ...], *, is_infra: bool = False
) -> tuple[SpecRequest, tuple[ResolvedMount, ...], tuple[Hook, ...]]:
    """Return request and mounts with what the CDI devices mean, and their hooks.

    A pod's infra container holds its devices for the others and uses none itself.

    Raises:
        RpodError: as ``resolve_devices``.
    """
    names = tuple(one for one in process.devices if is_cdi_name(one))
    process = process.replace(devices=tuple(one for one in process.devices if one not in names))
    if is_infra:
        return process, volumes, ()
    found = resolve_devices(names, context.cdi_dirs)
    for warning in found.warnings:
        log.warn(warning)
    # A device's variable and mount win over those of the same name or place, as in the reference implementation.
    taken = {one.target for one in found.mounts}
    kept = tuple(one for one in volumes if one.target not in taken)
    process = process.replace(
        env=(*process.env, *found.env), groups=(*process.groups, *_groups(context, process, found))
    )
    return process, (*kept, *found.mounts), found.hooks


def _groups(context: Context, process: SpecRequest, found: Devices) -> tuple[str, ...]:
    """Return the groups that exist in the user's namespace; beside keep-groups there can be none."""
    if KEEP_GROUPS in process.groups:
        return ()
    gids = context.namespace.id_map.gids
    missing = [gid for gid in found.group_ids if to_parent(gids, gid) is None]
    if missing:
        log.warn(f"the device's groups {', '.join(map(str, missing))} are none of yours: they were left out")
    return tuple(str(gid) for gid in found.group_ids if gid not in missing)
