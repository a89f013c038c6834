"""Volumes whose content is an image's: ``volume create --driver image``."""

from __future__ import annotations

from rootless_pod.errors import NotFound, Refused
from rootless_pod.fuse.choose import choose_storage
from rootless_pod.image.acquire import acquire
from rootless_pod.image.keep import KeptImage
from rootless_pod.volumes.drivers import BackingImage, create_driven
from rootless_pod.volumes.options import IMAGE, parse_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless_pod.container.context import Context
    from rootless_pod.volumes.volume import Volume


def create_on_image(
    context: Context,
    name: str | None,
    *,
    options: Mapping[str, str],
    labels: Mapping[str, str],
    exist_ok: bool = False,
) -> Volume:
    """Make a volume over the layers of an image that is here; writes go into the volume.

    Raises:
        Usage: no image is named, or another option is given.
        NotFound: there is no such image.
        Refused: it is the machine itself.
    """
    word = parse_options(IMAGE, options).options["image"]
    try:
        image = acquire(context.paths, word, pull_policy="never", single_id=context.namespace.single_id)
    except NotFound as cause:
        raise NotFound(
            f"looking up image {word} to create volume failed: {word}: image not known",
            remedy=f"run: rpod pull {word}",
            exit_code=125,
        ) from cause
    if image.is_host:
        raise Refused("image host is this machine itself", remedy="bind what you need of it: -v /usr:/usr:ro")
    chosen = choose_storage(
        context.storage_driver, probes_dir=context.paths.probes, scratch_dir=f"{context.paths.graphroot}/scratch"
    )
    backing = BackingImage(id=image.id, layers=image.layers, storage_driver=chosen.driver.name)
    with KeptImage(context.paths, image):
        return create_driven(
            context.paths, name, driver=IMAGE, options=options, labels=labels, image=backing, exist_ok=exist_ok
        )
