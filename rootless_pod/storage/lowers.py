"""The trees of an image's layers in the order of a mount; apart from the store, since every start needs it. HOT."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def has_layer(layers: str, chain_id: str) -> bool:
    """Tell whether the layer is in the directory ``layers`` (and so is whole)."""
    return os.path.exists(f"{layers}/{chain_id}/layer.json")


def lower_dirs(layers: str, chain_ids: Iterable[str]) -> tuple[str, ...]:
    """Return the trees of an image's layers **top first**, for a mount; ``chain_ids`` are bottom first.

    What lies below a layer whose root directory is opaque is left out: overlayfs does not look at that mark.
    """
    lowers: list[str] = []
    for chain_id in reversed(tuple(chain_ids)):
        lowers.append(f"{layers}/{chain_id}/diff")
        if os.path.exists(f"{layers}/{chain_id}/opaque-root"):
            break
    return tuple(lowers)
