"""The record beside an unpacked layer: ``layers/HEX/layer.json``."""

from __future__ import annotations

from rootless_pod.errors import Corrupt
from rootless_pod.frozen import Frozen
from rootless_pod.oci.document import Document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class LayerInfo(Frozen):
    """What is known of an unpacked layer.

    ``chain_id`` and ``parent`` are hex (no algorithm), ``diff_id`` and ``digest`` are digests. ``digest``,
    ``media_type`` and ``blob_size_bytes`` are those of the blob it came from ("" and 0 if it came from none).
    ``size_bytes`` is the sum of its regular files. ``single_id`` says that owners are in
    ``user.rootlesscontainers`` xattrs, not in the inodes.
    """

    chain_id: str
    diff_id: str
    parent: str | None = None
    size_bytes: int = 0
    entries: int = 0
    digest: str = ""
    blob_size_bytes: int = 0
    media_type: str = ""
    single_id: bool = False
    opaque_root: bool = False
    skipped: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the object of ``layer.json``."""
        return {**self.as_dict(), "skipped": list(self.skipped)}


def read_layer_info(record: dict[str, Any], where: str) -> LayerInfo:
    """Return the record in a JSON object read from ``where``.

    Raises:
        Corrupt: a field is missing or wrong.
    """
    document = Document(record, where)
    chain_id, diff_id = document.text("chain_id"), document.text("diff_id")
    if not chain_id or not diff_id:
        raise Corrupt(f"record {where} is damaged: it names no layer", remedy="run: rpod system check")
    return LayerInfo(
        chain_id=chain_id,
        diff_id=diff_id,
        parent=document.optional_text("parent"),
        size_bytes=document.integer("size_bytes"),
        entries=document.integer("entries"),
        digest=document.text("digest"),
        blob_size_bytes=document.integer("blob_size_bytes"),
        media_type=document.text("media_type"),
        single_id=record.get("single_id") is True,
        opaque_root=record.get("opaque_root") is True,
        skipped=document.texts("skipped") or (),
    )
