"""A layer's blob becomes a layer of the store: verified, unpacked, committed."""

from __future__ import annotations

from rootless_pod.errors import Corrupt
from rootless_pod.oci.digest import Verifier
from rootless_pod.oci.image import chain_id
from rootless_pod.storage.compress import BombLimits, VerifiedStream, open_compressed
from rootless_pod.storage.layer import LayerInfo
from rootless_pod.storage.unpack import UnpackLimits, unpack_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.oci.descriptor import Descriptor
    from rootless_pod.storage.compress import Readable
    from rootless_pod.storage.store import Staging, Store


def unpack_blob(
    staging: Staging,
    blob: Readable,
    descriptor: Descriptor,
    *,
    diff_id: str,
    parent: str | None,
    single_id: bool,
    lower_dirs: tuple[str, ...] = (),
    limits: UnpackLimits | None = None,
    bomb_limits: BombLimits | None = None,
) -> LayerInfo:
    """Unpack ``blob`` into ``staging`` and return the record to commit; digest, size and diff ID have been checked.

    ``parent`` is the chain id (hex) of the layer below, ``lower_dirs`` are the unpacked layers below, top first.

    Raises:
        Corrupt: bytes are not what the descriptor or the config say, or the archive is hostile.
        HostUnready: the disk is full, or an owner has no id in the user namespace.
    """
    verifier = Verifier(descriptor.digest, descriptor.size, what="layer")
    compressed = VerifiedStream(blob, verifier)
    stream = open_compressed(compressed, descriptor.media_type, limits=bomb_limits)
    result = unpack_layer(stream, staging.diff, single_id=single_id, lower_dirs=lower_dirs, limits=limits)
    while compressed.read(1 << 18):
        pass
    if result.diff_id != diff_id:
        raise Corrupt(
            f"layer {descriptor.digest} unpacks to {result.diff_id}, but the image's config says {diff_id}",
            remedy="ask the image's publisher: manifest and config don't belong together",
        )
    return LayerInfo(
        chain_id=chain_id(parent, diff_id),
        diff_id=diff_id,
        parent=parent,
        size_bytes=result.size_bytes,
        entries=result.entries,
        digest=descriptor.digest,
        blob_size_bytes=verifier.seen,
        media_type=descriptor.media_type,
        single_id=single_id,
        opaque_root=result.opaque_root,
        skipped=result.skipped,
    )


def add_layer(
    store: Store,
    blob: Readable,
    descriptor: Descriptor,
    *,
    diff_id: str,
    parent: str | None,
    single_id: bool,
    lower_dirs: tuple[str, ...] = (),
    limits: UnpackLimits | None = None,
    bomb_limits: BombLimits | None = None,
    sync: bool = True,
) -> LayerInfo:
    """Stage, unpack and commit one layer; see ``unpack_blob``. After a failure nothing of it is left.

    A layer that is there already is returned at once, ``blob`` unread.
    """
    wanted = chain_id(parent, diff_id)
    if store.has_layer(wanted):
        return store.layer_info(wanted)
    with store.staging() as staging:
        info = unpack_blob(
            staging,
            blob,
            descriptor,
            diff_id=diff_id,
            parent=parent,
            single_id=single_id,
            lower_dirs=lower_dirs,
            limits=limits,
            bomb_limits=bomb_limits,
        )
        return staging.commit(wanted, info, sync=sync)
