"""``--read-only`` with the image ``host``: its tree is many mounts, and the runtime makes only the first read-only."""

from __future__ import annotations

import os

from rootless_pod.linux import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.spec.generate import Spec


def with_read_only_parts(spec: Spec, rootfs: str) -> Spec:
    """Return the spec with every mount below ``rootfs`` among the read-only paths, but those that others hide.

    The runtime does so in the end, when mount points for volumes have been made.
    """
    top = os.path.realpath(rootfs)
    hidden = {os.path.normpath(mount["destination"]) for mount in spec.config["mounts"]}
    linux = spec.config["linux"]
    known = linux["readonlyPaths"]
    inside = [point[len(top) :] for point, _kind, _source in procfs.mount_points() if point.startswith(f"{top}/")]
    added = [path for path in dict.fromkeys(inside) if path not in hidden and path not in known]
    return spec.replace(config={**spec.config, "linux": {**linux, "readonlyPaths": [*known, *added]}})
