"""The trees of an image's layers in the order of a mount; apart from the store, since every start needs it. HOT."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SINGLE_ID = "single-id"
"""A file beside the layer's record: quicker to look for than to read that."""


def layer_dir(roots: tuple[str, ...], chain_id: str) -> str:
    """Return the directory of a layer in the first of ``roots`` that has it, in the first root if none does."""
    for root in roots if len(roots) > 1 else ():
        if os.path.exists(f"{root}/{chain_id}/layer.json"):
            return f"{root}/{chain_id}"
    return f"{roots[0]}/{chain_id}"


def is_single_id(root: str, chain_id: str) -> bool:
    """Tell whether a layer of this store was unpacked by a user with one id: its owners are kept aside then."""
    return os.path.exists(f"{root}/{chain_id}/{SINGLE_ID}")


def has_layer(roots: tuple[str, ...], chain_id: str) -> bool:
    """Tell whether the layer is in one of the directories ``roots`` (and so is whole)."""
    return os.path.exists(f"{layer_dir(roots, chain_id)}/layer.json")


def lower_dirs(roots: tuple[str, ...], chain_ids: Iterable[str]) -> tuple[str, ...]:
    """Return the trees of an image's layers **top first**, for a mount; ``chain_ids`` are bottom first.

    What lies below a layer whose root directory is opaque is left out: overlayfs does not look at that mark.
    """
    lowers: list[str] = []
    for chain_id in reversed(tuple(chain_ids)):
        directory = layer_dir(roots, chain_id)
        lowers.append(f"{directory}/diff")
        if os.path.exists(f"{directory}/opaque-root"):
            break
    return tuple(lowers)
