"""``--mount type=image``: an image's files inside a container, mounted for it alone and unmounted with it."""

from __future__ import annotations

import os

from rootless_pod.image.lookup import lookup
from rootless_pod.image.mounts import mount_image, mounts_directory, unmount_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless_pod.container.context import Context
    from rootless_pod.paths import Paths
    from rootless_pod.volumes.resolve import MountRequest


def as_binds(context: Context, container_id: str, wanted: Iterable[MountRequest]) -> tuple[MountRequest, ...]:
    """Mount the images among ``wanted`` and return the requests with binds of them in their places.

    Read-only, or with writes that go away with the container (``rw=true``).

    Raises:
        NotFound: there is no such image.
    """
    requests = []
    for one in wanted:
        if one.kind != "image":
            requests.append(one)
            continue
        path = mount_image(context.paths, lookup(context.paths, one.source), context.storage_driver, user=container_id)
        writable = "rw" in one.options
        changed = {"kind": "bind", "source": path, "overlay": writable, "copy_up": False}
        requests.append(one.replace(**changed, options=() if writable else one.options))
    return tuple(requests)


def unmount_all(paths: Paths, container_id: str) -> None:
    """Unmount what was mounted for a container; idempotent."""
    suffix = f".{container_id}"
    try:
        names = os.listdir(mounts_directory(paths))
    except FileNotFoundError:
        return
    for name in names:
        if name.endswith(suffix):
            unmount_image(paths, name.removesuffix(suffix), user=container_id)
