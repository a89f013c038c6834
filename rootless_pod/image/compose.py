"""Makes a new image of the store from a tar of changes, the layers it stands on, and a config."""

from __future__ import annotations

import os
import time

from rootless_pod import jsontext
from rootless_pod.errors import Usage
from rootless_pod.frozen import Frozen
from rootless_pod.image.install import Resolved, StoredSource, name_image, plan_layers, store_use_lock
from rootless_pod.image.layers import bring_layers, missing_of
from rootless_pod.image.layout import disk_error, user_layout
from rootless_pod.image.progress import SilentProgress
from rootless_pod.image.unwritten import Unwritten
from rootless_pod.oci import mediatype
from rootless_pod.oci.descriptor import Descriptor
from rootless_pod.oci.digest import new_hash, of_bytes
from rootless_pod.oci.image import parse_config
from rootless_pod.oci.manifest import Manifest, format_manifest, parse_manifest
from rootless_pod.oci.platform import host_platform
from rootless_pod.storage.compress import new_compressor
from rootless_pod.storage.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless_pod.image.layout import Layout
    from rootless_pod.oci.image import Image
    from rootless_pod.paths import Paths

FORMATS = ("oci", "docker")
_FAST_LEVEL = 1
_OCI_ONLY_HERE = ("OnBuild",)


class NewLayer(Frozen):
    """A layer's blob, written to the store and named by nothing yet."""

    descriptor: Descriptor
    diff_id: str


class Composition(Frozen):
    """What a new image is made of.

    ``base`` are the layers and the raw config it stands on (None: it starts anew); ``inner`` replaces the config's
    inner object. ``created_by`` and ``comment`` go into the history.
    """

    base: Image | None
    inner: dict[str, Any]
    author: str = ""
    comment: str = ""
    created_by: str = ""
    docker: bool = False
    names: tuple[str, ...] = ()
    architecture: str = ""
    system: str = ""
    variant: str = ""


def compose(
    paths: Paths,
    composition: Composition,
    write: Callable[[Callable[[bytes], object]], object],
    *,
    single_id: bool,
) -> Image:
    """Write the layer through ``write(sink)`` (an uncompressed tar), then config and manifest, and last the names.

    The layer is unpacked from its blob, so what could be written can also be read. After a failure or a kill no name
    has changed; a blob left behind goes with the next sweep.

    Raises:
        Corrupt: the tar is damaged or holds what no layer may.
        HostUnready: the disk is full.
    """
    layout = user_layout(paths)
    done = False
    try:
        with store_use_lock(paths):
            layer = _write_blob(layout, write, docker=composition.docker)
            image = _finish(paths, layout, composition, layer, single_id=single_id)
        done = True
        return image
    finally:
        if not done:
            from rootless_pod.image.remove import collect_garbage

            collect_garbage(paths)


def _write_blob(layout: Layout, write: Callable[[Callable[[bytes], object]], object], *, docker: bool) -> NewLayer:
    plain, packed = new_hash(), new_hash()
    compressor = new_compressor("gzip", _FAST_LEVEL)
    with layout.new_blob("the new layer") as blob:

        def keep(data: bytes) -> None:
            packed.update(data)
            blob.write(data)

        def take(data: bytes) -> None:
            plain.update(data)
            if out := compressor.compress(data):
                keep(out)

        try:
            write(take)
        except OSError as cause:
            raise disk_error(cause, "cannot read what the layer is made of", layout.root) from cause
        keep(compressor.flush())
        digest = f"sha256:{packed.hexdigest()}"
        size = blob.size
        blob.commit(digest)
    media_type = mediatype.DOCKER_LAYER_GZIP if docker else mediatype.OCI_LAYER_GZIP
    return NewLayer(
        descriptor=Descriptor(media_type=media_type, digest=digest, size=size),
        diff_id=f"sha256:{plain.hexdigest()}",
    )


def _finish(paths: Paths, layout: Layout, composition: Composition, layer: NewLayer, *, single_id: bool) -> Image:
    base = composition.base
    below = _lower_descriptors(layout, base, docker=composition.docker) if base is not None else ()
    config_text = jsontext.dumps(_config(layout, composition, layer)).encode()
    docker = composition.docker
    manifest = Manifest(
        media_type=mediatype.DOCKER_MANIFEST if docker else mediatype.OCI_MANIFEST,
        config=Descriptor(
            media_type=mediatype.DOCKER_CONFIG if docker else mediatype.OCI_CONFIG,
            digest=of_bytes(config_text),
            size=len(config_text),
        ),
        layers=(*below, layer.descriptor),
    )
    data = format_manifest(manifest)
    tasks = plan_layers(manifest, parse_config(config_text), "the new image")
    source = StoredSource(layout, "the new image")
    with Unwritten(paths, missing_of(layout, Store(paths), tasks, single_id=single_id)):
        bring_layers(paths, source, tasks, single_id=single_id, progress=SilentProgress())
        layout.write_blob(config_text)
        layout.write_blob(data)
        resolved = Resolved(data=data, digest=of_bytes(data), manifest=manifest)
        return name_image(paths, layout, resolved, composition.names)


def _lower_descriptors(layout: Layout, base: Image, *, docker: bool) -> tuple[Descriptor, ...]:
    from rootless_pod.image.convert import to_docker, to_oci

    manifest = parse_manifest(layout.read_blob(base.manifest_digest))
    shown = f"image {base.id[:12]}"
    return (to_docker(manifest, shown) if docker else to_oci(manifest, shown)).layers


def _config(layout: Layout, composition: Composition, layer: NewLayer) -> dict[str, Any]:
    """Return the whole config document."""
    base = composition.base
    document: dict[str, Any] = {}
    if base is not None:
        document = jsontext.loads(layout.read_blob(f"sha256:{base.id}"))
    now = _now()
    here = host_platform()
    inner = {key: value for key, value in composition.inner.items() if value not in (None, "", [], {})}
    if not composition.docker:
        for field in _OCI_ONLY_HERE:
            inner.pop(field, None)
    step: dict[str, Any] = {"created": now, "created_by": composition.created_by or "/bin/sh"}
    if composition.author:
        step["author"] = composition.author
    if composition.comment:
        step["comment"] = composition.comment
    made: dict[str, Any] = {
        "created": now,
        "author": composition.author or document.get("author", ""),
        "architecture": composition.architecture or document.get("architecture") or here.architecture,
        "os": composition.system or document.get("os") or here.os,
        "config": inner,
        "rootfs": {
            "type": "layers",
            "diff_ids": [*(base.config.diff_ids if base is not None else ()), layer.diff_id],
        },
        "history": [*_history(base), step],
    }
    variant = composition.variant or document.get("variant")
    if variant:
        made["variant"] = variant
    if not made["author"]:
        del made["author"]
    if composition.docker and composition.comment:
        made["comment"] = composition.comment
    for field in ("os.version", "os.features"):
        if field in document:
            made[field] = document[field]
    return made


def _history(base: Image | None) -> list[dict[str, Any]]:
    """Return the base's steps; layers it is silent about get one each, so that the new step stands at its layer."""
    if base is None:
        return []
    steps = [dict(step) for step in base.config.history]
    told = sum(1 for step in steps if not step.get("empty_layer"))
    return steps + [{"created_by": "unknown"}] * (len(base.config.diff_ids) - told)


def _now() -> str:
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def write_id_file(path: str, text: str) -> None:
    """Write ``--iidfile``.

    Raises:
        Usage: it can't be written.
    """
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as cause:
        raise Usage(f"cannot write the id file {path}: {cause.strerror}", remedy="give a writable path") from cause


def check_id_file(path: str) -> None:
    """Refuse an id file that can't be written before anything is made (raises Usage)."""
    directory = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(directory) or not os.access(directory, os.W_OK):
        raise Usage(f"cannot write the id file {path}: no such writable directory", remedy="give a writable path")
