"""Layers in the stores of others: whether their files can be shown with the owners they have."""

from __future__ import annotations

import os

from rootless_pod.storage.lowers import lower_dirs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.oci.image import Image
    from rootless_pod.paths import Paths

_OVERFLOW = "/proc/sys/kernel/overflowuid"


def owners_are_unknown(paths: Paths, image: Image) -> bool:
    """Tell whether a layer of another's store belongs to an id that this user namespace does not have.

    The kernel shows such files as nobody's; overlayfs can't copy one up, so not even /tmp could be written.
    """
    if not paths.additional or image.is_host:
        return False
    own = f"{paths.layers}/"
    with open(_OVERFLOW, "rb") as file:
        overflow = int(file.read())
    return any(
        not directory.startswith(own) and os.path.isdir(directory) and os.stat(directory).st_uid == overflow
        for directory in lower_dirs(paths.layer_roots, image.layers)
    )
