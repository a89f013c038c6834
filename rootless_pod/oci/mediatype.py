"""Media types of manifests, configs and layers.

Source: OCI image-spec 1.1, media-types.md; Docker image manifest v2 schema 2.
"""

from __future__ import annotations

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
OCI_LAYER_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"
OCI_LAYER_FOREIGN_GZIP = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
OCI_LAYER_FOREIGN_ZSTD = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"

DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd"
DOCKER_LAYER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar"
DOCKER_LAYER_FOREIGN_GZIP = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"

INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
SCHEMA1 = frozenset({DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED})
CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})
# What a client says it takes, best first (Accept header, distribution-spec 1.1).
ACCEPTED_MANIFESTS = (OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST)

_COMPRESSION = {
    OCI_LAYER: "none",
    OCI_LAYER_GZIP: "gzip",
    OCI_LAYER_ZSTD: "zstd",
    OCI_LAYER_FOREIGN: "none",
    OCI_LAYER_FOREIGN_GZIP: "gzip",
    OCI_LAYER_FOREIGN_ZSTD: "zstd",
    DOCKER_LAYER: "none",
    DOCKER_LAYER_GZIP: "gzip",
    DOCKER_LAYER_ZSTD: "zstd",
    DOCKER_LAYER_FOREIGN: "none",
    DOCKER_LAYER_FOREIGN_GZIP: "gzip",
}
FOREIGN_LAYERS = frozenset(
    {
        OCI_LAYER_FOREIGN,
        OCI_LAYER_FOREIGN_GZIP,
        OCI_LAYER_FOREIGN_ZSTD,
        DOCKER_LAYER_FOREIGN,
        DOCKER_LAYER_FOREIGN_GZIP,
    }
)
LAYERS = frozenset(_COMPRESSION)


def bare(media_type: str) -> str:
    """Return ``media_type`` without parameters (``; charset=utf-8``) and blanks."""
    return media_type.partition(";")[0].strip()


def is_index(media_type: str) -> bool:
    """Tell whether this is an OCI index or a Docker manifest list."""
    return bare(media_type) in INDEXES


def is_manifest(media_type: str) -> bool:
    """Tell whether this is an image manifest (OCI or Docker schema 2)."""
    return bare(media_type) in MANIFESTS


def is_layer(media_type: str) -> bool:
    """Tell whether this is a tar layer of any compression."""
    return bare(media_type) in LAYERS


def is_foreign(media_type: str) -> bool:
    """Tell whether a layer may have to be fetched from its descriptor's ``urls``."""
    return bare(media_type) in FOREIGN_LAYERS


def layer_compression(media_type: str) -> str | None:
    """Return ``none``, ``gzip`` or ``zstd`` as the type says; None if it is not a layer type."""
    return _COMPRESSION.get(bare(media_type))
