"""A manifest in the other standard's words (OCI, Docker schema 2): the blobs and their digests stay."""

from __future__ import annotations

from rootless_pod.errors import Refused
from rootless_pod.oci import mediatype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.oci.manifest import Manifest

_TO_DOCKER = {
    mediatype.OCI_CONFIG: mediatype.DOCKER_CONFIG,
    mediatype.OCI_LAYER: mediatype.DOCKER_LAYER,
    mediatype.OCI_LAYER_GZIP: mediatype.DOCKER_LAYER_GZIP,
    mediatype.OCI_LAYER_FOREIGN: mediatype.DOCKER_LAYER_FOREIGN,
    mediatype.OCI_LAYER_FOREIGN_GZIP: mediatype.DOCKER_LAYER_FOREIGN_GZIP,
}
OCI_TYPES = {docker: oci for oci, docker in _TO_DOCKER.items()} | {
    mediatype.DOCKER_LAYER_ZSTD: mediatype.OCI_LAYER_ZSTD
}


def to_oci(manifest: Manifest, shown: str) -> Manifest:
    """Return an OCI manifest of the same image (raises Refused where a type has no counterpart)."""
    return _convert(manifest, OCI_TYPES, mediatype.OCI_MANIFEST, shown)


def to_docker(manifest: Manifest, shown: str) -> Manifest:
    """Return a schema 2 manifest of the same image (raises Refused where a type has no counterpart: zstd)."""
    return _convert(manifest, _TO_DOCKER, mediatype.DOCKER_MANIFEST, shown)


def _convert(manifest: Manifest, types: dict[str, str], media_type: str, shown: str) -> Manifest:
    if manifest.media_type == media_type:
        return manifest
    changed = []
    for one in (manifest.config, *manifest.layers):
        if one.media_type not in types:
            raise Refused(
                f"{shown}: a blob of type {one.media_type} has no place in {media_type}",
                remedy="save it as oci-archive",
            )
        changed.append(one.replace(media_type=types[one.media_type]))
    return manifest.replace(config=changed[0], layers=tuple(changed[1:]), media_type=media_type)
