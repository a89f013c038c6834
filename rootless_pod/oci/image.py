"""Image configurations and images. Source: OCI image-spec 1.1, config.md; Docker image spec 1.2 for health checks."""

from __future__ import annotations

from rootless_pod.frozen import Frozen
from rootless_pod.oci.digest import hex_of, is_digest, of_bytes
from rootless_pod.oci.document import Document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ImageConfig(Frozen):
    """What an image says about running it; ``None`` means that the image is silent, ``()`` that it says "none"."""

    architecture: str = ""
    os: str = ""
    variant: str = ""
    created: str | None = None
    author: str = ""
    user: str = ""
    working_dir: str = ""
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    shell: tuple[str, ...] | None = None
    on_build: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    stop_signal: str | None = None
    healthcheck: dict[str, Any] | None = None
    history: tuple[dict[str, Any], ...] = ()
    diff_ids: tuple[str, ...] = ()

    def chain_ids(self) -> tuple[str, ...]:
        """Return the chain ids (hex) of the layers, bottom first."""
        return chain_ids(self.diff_ids)


class Image(Frozen):
    """An image in the local store; ``layers`` are chain ids (hex), bottom first."""

    id: str
    manifest_digest: str
    manifest_media_type: str
    names: tuple[str, ...]
    config: ImageConfig
    layers: tuple[str, ...]
    size_bytes: int = 0
    created: str | None = None
    is_host: bool = False
    store: str = ""
    """The read-only store of somebody else it was found in; "" for the user's own."""


def chain_id(parent: str | None, diff_id: str) -> str:
    """Return the chain id (hex) of a layer on top of ``parent`` (hex; None for the bottom layer).

    Source: image-spec config.md, "Layer ChainID": sha256(parent chain id + " " + diff id), with algorithm prefixes.
    """
    return hex_of(diff_id if parent is None else of_bytes(f"sha256:{parent} {diff_id}".encode()))


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return the chain id (hex) of each layer, bottom first."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(chain_id(chain[-1] if chain else None, diff_id))
    return tuple(chain)


def _diff_ids(document: Document) -> tuple[str, ...]:
    rootfs = document.child("rootfs")
    if rootfs is None:
        raise document.fault("rootfs", "is missing")
    if rootfs.text("type", "layers") != "layers":
        raise rootfs.fault("type", "is not layers")
    diff_ids = rootfs.texts("diff_ids") or ()
    for position, diff_id in enumerate(diff_ids):
        if not is_digest(diff_id) or not diff_id.startswith("sha256:"):
            raise rootfs.fault(f"diff_ids[{position}]", f"is not a sha256 digest: {diff_id!r}")
    return diff_ids


def _environment(document: Document) -> tuple[str, ...]:
    env = document.texts("Env") or ()
    for position, entry in enumerate(env):
        if entry.startswith("="):
            raise document.fault(f"Env[{position}]", "has no name")
    return env


def parse_config(data: bytes) -> ImageConfig:
    """Parse an image configuration (OCI or Docker).

    Raises:
        Corrupt: a field is of the wrong kind; the error names it.
    """
    document = Document.parse(data, "image config")
    inner = document.child("config") or Document({}, "image config.config")
    return ImageConfig(
        architecture=document.text("architecture"),
        os=document.text("os"),
        variant=document.text("variant"),
        created=document.optional_text("created"),
        author=document.text("author"),
        user=inner.text("User"),
        working_dir=inner.text("WorkingDir"),
        env=_environment(inner),
        entrypoint=inner.texts("Entrypoint"),
        cmd=inner.texts("Cmd"),
        shell=inner.texts("Shell"),
        on_build=inner.texts("OnBuild") or (),
        labels=inner.mapping("Labels"),
        volumes=inner.keys("Volumes"),
        exposed_ports=inner.keys("ExposedPorts"),
        stop_signal=inner.optional_text("StopSignal"),
        healthcheck=inner.raw_object("Healthcheck"),
        history=tuple(entry.plain() for entry in document.children("history")),
        diff_ids=_diff_ids(document),
    )
