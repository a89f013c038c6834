"""Everything known of an image, in podman's words."""

from __future__ import annotations

from rootless_pod import jsontext
from rootless_pod.errors import RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.image.layout import TRUST, open_layout
from rootless_pod.image.lookup import list_images
from rootless_pod.image.parents import ending_at, parent_of
from rootless_pod.jsontext import Map, NoMap, Struct
from rootless_pod.storage.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.oci.image import Image
    from rootless_pod.paths import Paths


class HistoryEntry(Frozen):
    """One step that made an image, the newest first; ``image_id`` and ``names`` are of the image that ends there."""

    image_id: str
    created: str
    created_by: str
    size_bytes: int
    comment: str
    names: tuple[str, ...] = ()


def repo_digests(paths: Paths, image: Image) -> tuple[str, ...]:
    """Return ``repository@digest`` for each repository the image is named in, sorted."""
    if image.is_host:
        return ()
    found: set[str] = set()
    for entry in open_layout(paths).entries():
        if entry.image_id == image.id or entry.digest == image.manifest_digest:
            repository = repository_of(entry.name or "")
            digests = {entry.digest, *([entry.pulled_digest] if entry.pulled_digest else [])}
            found.update(f"{repository}@{digest}" for digest in digests if repository)
    return tuple(sorted(found))


def repository_of(name: str) -> str:
    """Return a full name without its tag and digest."""
    return split_name(name)[0]


def split_name(name: str) -> tuple[str, str]:
    """Split a full name into repository and tag ("" for a name with a digest)."""
    bare, at, _digest = name.partition("@")
    head, colon, tag = bare.rpartition(":")
    if not colon or "/" in tag:
        return bare, ""
    return head, "" if at else tag


def raw_config(paths: Paths, image: Image) -> dict[str, Any]:
    """Return the config document; of ``host``, one made for it."""
    if image.is_host:
        inner = {"Env": list(image.config.env), "Cmd": list(image.config.cmd or ()), "WorkingDir": "/"}
        return {"architecture": image.config.architecture, "os": image.config.os, "config": inner}
    document = jsontext.loads(open_layout(paths).read_blob(f"sha256:{image.id}"))
    return document if isinstance(document, dict) else {}


def inspect_image(paths: Paths, image: Image) -> dict[str, Any]:
    """Return what ``image inspect`` prints.

    Raises:
        NotFound, Corrupt: the config's blob is gone or damaged.
    """
    document = raw_config(paths, image)
    manifest: dict[str, Any] = {}
    if not image.is_host:
        manifest = jsontext.loads(open_layout(paths).read_blob(image.manifest_digest))
    store = Store(paths)
    directories = [store.layer_path(chain) for chain in reversed(image.layers)]
    found = {
        "Id": image.id,
        "Digest": image.manifest_digest,
        "RepoTags": [name for name in image.names if "@" not in name],
        "RepoDigests": list(repo_digests(paths, image)),
        "Parent": parent_of(image, list_images(paths)),
        "Comment": document.get("comment", ""),
        "Created": image.created,
        "Config": _inner(document.get("config")),
        "Version": document.get("docker_version", ""),
        "Author": image.config.author,
        "Architecture": image.config.architecture,
        "Os": image.config.os,
        "Size": image.size_bytes,
        "VirtualSize": image.size_bytes,
        "GraphDriver": {
            "Name": "overlay",
            "Data": {"UpperDir": directories[0], "LowerDir": ":".join(directories[1:])} if directories else None,
        },
        "RootFS": {"Type": "layers", "Layers": list(image.config.diff_ids)},
        "Labels": Map(image.config.labels) or NoMap(),
        "Annotations": Map(manifest.get("annotations") or {}),
        "ManifestType": image.manifest_media_type,
        "User": image.config.user,
        "History": list(image.config.history),
        "NamesHistory": list(reversed(image.names)),
    }
    if image.config.variant:
        found["Variant"] = image.config.variant
    if image.config.healthcheck:
        found["HealthCheck"] = image.config.healthcheck
    if verdicts := trust_verdicts(paths, image):
        found["Trust"] = verdicts
    return found


def _inner(found: Any) -> dict[str, Any]:
    """Return the part ``config`` of the document with its maps and empty structs marked as such."""
    inner = dict(found) if isinstance(found, dict) else {}
    for key in ("Volumes", "ExposedPorts"):
        if isinstance(inner.get(key), dict):
            inner[key] = Map((name, Struct()) for name in inner[key])
    if isinstance(inner.get("Labels"), dict):
        inner["Labels"] = Map(inner["Labels"])
    return inner


def trust_verdicts(paths: Paths, image: Image) -> list[dict[str, Any]]:
    """Return why the trust policy accepted the image, for each name it came by (``Name`` "": it has none)."""
    from rootless_pod.image.trust.verdict import read_verdict

    if image.is_host:
        return []
    return [
        {"Name": entry.name or "", **verdict}
        for entry in open_layout(paths).entries()
        if entry.digest == image.manifest_digest and (verdict := read_verdict(entry.annotations.get(TRUST, "")))
    ]


def history(paths: Paths, image: Image) -> tuple[HistoryEntry, ...]:
    """Return the steps that made the image, the newest first; layers without a step are listed as well."""
    sizes = _layer_sizes(paths, image)
    steps = []
    position = 0
    for step in image.config.history:
        size_bytes = 0
        if not step.get("empty_layer") and position < len(sizes):
            size_bytes = sizes[position]
            position += 1
        steps.append(
            HistoryEntry(
                image_id="",
                created=str(step.get("created") or ""),
                created_by=str(step.get("created_by") or ""),
                size_bytes=size_bytes,
                comment=str(step.get("comment") or ""),
            )
        )
    steps += [
        HistoryEntry(image_id="", created=image.created or "", created_by="", size_bytes=size_bytes, comment="")
        for size_bytes in sizes[position:]
    ]
    steps.reverse()
    return tuple(_with_images(paths, image, steps))


def _with_images(paths: Paths, image: Image, steps: list[HistoryEntry]) -> list[HistoryEntry]:
    """Name the images whose last step each is: the image itself, and those here that it was built on."""
    images, chain = list_images(paths), image.layers
    empty = [bool(step.get("empty_layer")) for step in image.config.history]
    named = []
    for number, step in enumerate(steps):
        ends = ending_at(chain, images)
        if number == 0:
            step = step.replace(image_id=image.id, names=image.names)  # noqa: PLW2901 - the same step, named
        elif ends is not None and ends.id != image.id:
            step = step.replace(image_id=ends.id, names=ends.names)  # noqa: PLW2901
        named.append(step)
        place = len(steps) - 1 - number
        if place >= len(empty) or not empty[place]:
            chain = chain[:-1]
    return named


def _layer_sizes(paths: Paths, image: Image) -> list[int]:
    store = Store(paths)
    sizes = []
    for chain in image.layers:
        try:
            sizes.append(store.layer_info(chain).size_bytes)
        except RpodError:
            sizes.append(0)
    return sizes
