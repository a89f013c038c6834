"""Which image an image was made from: the one whose layers and history it continues by one step.

Source: containers/common's libimage (layer tree), for what podman calls a parent.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from rootless_pod.oci.image import Image


def parent_of(image: Image, images: Iterable[Image]) -> str:
    """Return the id of the image that ``image`` was built on in one step, or "" where it is not here."""
    return next((one.id for one in images if one.id != image.id and _continues(image, one)), "")


def _continues(child: Image, parent: Image) -> bool:
    made, before = child.config.history, parent.config.history
    if not before or len(made) != len(before) + 1:
        return False
    depth = len(parent.config.diff_ids)
    return child.config.diff_ids[:depth] == parent.config.diff_ids and all(map(_same_step, made, before))


def _same_step(one: dict[str, Any], other: dict[str, Any]) -> bool:
    keys = ("created_by", "author", "comment", "empty_layer", "created")
    return all((one.get(key) or "") == (other.get(key) or "") for key in keys)


def ending_at(chain: tuple[str, ...], images: Iterable[Image]) -> Image | None:
    """Return an image whose topmost layer is the last of ``chain``."""
    return next((one for one in images if chain and one.layers == chain), None)
