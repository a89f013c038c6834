"""Which images ``images`` lists, in which order, and what each line holds."""

from __future__ import annotations

import fnmatch
import time

from rootless_pod.commands.humanize import size
from rootless_pod.commands.times import ago, parse_time
from rootless_pod.errors import NotFound, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.image.inspect import repo_digests, split_name
from rootless_pod.image.lookup import list_additional, list_images, lookup
from rootless_pod.image.parents import parent_of
from rootless_pod.image.remove import containers_of
from rootless_pod.jsontext import Map
from rootless_pod.oci.image import Image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.paths import Paths

_NONE = "<none>"


class ImageRow(Frozen):
    """One line: an image under one of its names ("" where it has none)."""

    image: Image
    repository: str
    tag: str
    created: float
    containers: int
    repo_digests: tuple[str, ...]
    parent: str = ""

    def shown_id(self, *, whole: bool) -> str:
        """Return the id as the list shows it."""
        return f"sha256:{self.image.id}" if whole else self.image.id[:12]

    def _created_at(self, form: str) -> str:
        return time.strftime(form, time.gmtime(self.created))

    def fields(self, *, whole: bool) -> dict[str, object]:
        """Return what a template may name."""
        image = self.image
        since = ago(self.created) if self.created else "N/A"
        return {
            "ID": self.shown_id(whole=whole),
            "Id": image.id,
            "Repository": self.repository or _NONE,
            "Tag": self.tag or _NONE,
            "Digest": image.manifest_digest,
            "Created": since,
            "CreatedSince": since,
            "CreatedAt": self._created_at("%Y-%m-%d %H:%M:%S +0000 UTC"),
            "CreatedTime": self._created_at("%Y-%m-%d %H:%M:%S +0000 UTC"),
            "Size": size(image.size_bytes),
            "VirtualSize": size(image.size_bytes),
            "SharedSize": 0,
            "Labels": Map(image.config.labels),
            "Containers": self.containers,
            "Names": list(image.names),
            "RepoTags": list(image.names),
            "RepoDigests": list(self.repo_digests),
            "History": ", ".join(image.names) or _NONE,
            "ParentId": self.parent,
            "Dangling": not image.names,
            "ReadOnly": bool(image.store),
        }

    def as_json(self) -> dict[str, object]:
        """Return podman's object."""
        image = self.image
        return {
            "Id": image.id,
            "ParentId": self.parent,
            "RepoTags": [name for name in image.names if "@" not in name],
            "RepoDigests": list(self.repo_digests),
            "Size": image.size_bytes,
            "SharedSize": 0,
            "VirtualSize": image.size_bytes,
            "Labels": image.config.labels or None,
            "Containers": self.containers,
            **({"Dangling": True} if not image.names else {}),
            **({"Names": list(image.names)} if image.names else {}),
            **({"ReadOnly": True} if image.store else {}),
            "Digest": image.manifest_digest,
            "History": list(reversed(image.names)),
            "Created": int(self.created),
            "CreatedAt": self._created_at("%Y-%m-%dT%H:%M:%SZ"),
        }


def created_at(image: Image) -> float:
    """Return when the image was created, in seconds since 1970; 0 where it does not say, or not readably."""
    if not image.created:
        return 0.0
    try:
        return parse_time(image.created)
    except ValueError:
        return 0.0


def image_rows(
    paths: Paths, *, conditions: tuple[str, ...], word: str, everything: bool, sort: str, parents: bool = False
) -> list[ImageRow]:
    """Return the lines; ``parents``: also look which image each was made from.

    Raises:
        Usage: an unknown filter or value.
    """
    images = [*list_images(paths), *list_additional(paths)]
    shown = matching(paths, images, conditions)
    if not everything and not any(one.startswith("intermediate") for one in conditions):
        shown = [one for one in shown if not is_intermediate(one, images)]
    rows = [row for image in shown for row in _rows_of(paths, image, word)]
    if parents:
        rows = [row.replace(parent=parent_of(row.image, images)) for row in rows]
    keys: dict[str, Callable[[ImageRow], object]] = {
        "created": lambda row: -row.created,
        "id": lambda row: row.image.id,
        "repository": lambda row: (row.repository, row.tag),
        "size": lambda row: row.image.size_bytes,
        "tag": lambda row: row.tag,
    }
    rows.sort(key=keys[sort])  # type: ignore[arg-type]
    return rows


def _rows_of(paths: Paths, image: Image, word: str) -> list[ImageRow]:
    """Return a line a name; with ``word``, only those it means (a name, a repository, an id)."""
    names = [name for name in image.names if not word or _means(word, name)]
    if not names and (image.names or word) and not (word and len(word) > 2 and image.id.startswith(word)):
        return []
    plain = ImageRow(
        image=image,
        repository="",
        tag="",
        created=created_at(image),
        containers=len(containers_of(paths, image.id)),
        repo_digests=repo_digests(paths, image),
    )
    named = [split_name(name) for name in names or image.names]
    return [plain.replace(repository=repository, tag=tag) for repository, tag in named] or [plain]


def _means(word: str, name: str) -> bool:
    """Whether a name is ``word``, is a tag of repository ``word``, ends in it, or fits it as a pattern."""
    repository, _tag = split_name(name)
    return any(
        whole == word or whole.endswith(f"/{word}") or fnmatch.fnmatchcase(whole, word) for whole in (name, repository)
    )


def is_intermediate(image: Image, images: list[Image]) -> bool:
    """Whether an image has no name and others are built on it."""
    if image.names:
        return False
    depth = len(image.layers)
    return any(len(one.layers) > depth and one.layers[:depth] == image.layers for one in images) and depth > 0


def matching(paths: Paths, images: list[Image], conditions: tuple[str, ...]) -> list[Image]:
    """Return those that fit every key; of a key given twice either value will do (labels: all).

    Raises:
        Usage: an unknown key or a value that can't be meant.
    """
    by_key: dict[str, list[str]] = {}
    for condition in conditions:
        key, separator, value = condition.partition("=")
        if key not in _TESTS or not separator:
            raise Usage(
                f"--filter {condition!r} is not known", remedy=f"use KEY=VALUE, KEY one of {', '.join(sorted(_TESTS))}"
            )
        by_key.setdefault(key, []).append(value)
    found = images
    for key, values in by_key.items():
        tests = [_TESTS[key](paths, images, value) for value in values]
        combine = all if key == "label" else any
        found = [one for one in found if combine(test(one) for test in tests)]
    return found


def _truth(key: str, value: str) -> bool:
    if value.lower() in ("true", "1", "t"):
        return True
    if value.lower() in ("false", "0", "f"):
        return False
    raise Usage(f"--filter {key}={value}: not true or false")


def _other(paths: Paths, key: str, value: str) -> float:
    try:
        return created_at(lookup(paths, value))
    except NotFound as cause:
        raise Usage(f"--filter {key}={value}: {cause.message}", remedy="name an image that is here") from cause


def _before(paths: Paths, _images: list[Image], value: str) -> Callable[[Image], bool]:
    limit = _other(paths, "before", value)
    return lambda image: created_at(image) < limit


def _since(paths: Paths, _images: list[Image], value: str) -> Callable[[Image], bool]:
    limit = _other(paths, "since", value)
    return lambda image: created_at(image) > limit


def _until(_paths: Paths, _images: list[Image], value: str) -> Callable[[Image], bool]:
    limit = moment(value)
    return lambda image: created_at(image) < limit


def moment(value: str) -> float:
    """Return seconds since 1970 of a timestamp, a number of seconds, or a duration back from now (``2h30m``)."""
    if value.isdigit():
        return float(value)
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
    total, number = 0.0, ""
    for letter in value:
        if letter.isdigit() or letter == ".":
            number += letter
        elif letter in units and number.count(".") <= 1 and number.strip("."):
            total, number = total + float(number) * units[letter], ""
        else:
            break
    else:
        if not number:
            return time.time() - total
    try:
        return parse_time(value)
    except ValueError as cause:
        raise Usage(
            f"--filter until={value}: neither a time nor a duration", remedy="write 2026-01-31T12:00:00Z or 24h"
        ) from cause


def _label(_paths: Paths, _images: list[Image], value: str) -> Callable[[Image], bool]:
    key, separator, wanted = value.partition("=")
    return lambda image: key in image.config.labels and (not separator or image.config.labels[key] == wanted)


def _reference(_paths: Paths, _images: list[Image], value: str) -> Callable[[Image], bool]:
    return lambda image: any(_means(value, name) for name in image.names)


_TESTS: dict[str, Callable[[Paths, list[Image], str], Callable[[Image], bool]]] = {
    "after": _since,
    "before": _before,
    "containers": lambda paths, _all, value: (
        lambda image: bool(containers_of(paths, image.id)) == _truth("containers", value)
    ),
    "dangling": lambda _paths, _all, value: lambda image: (not image.names) == _truth("dangling", value),
    "id": lambda _paths, _all, value: lambda image: image.id.startswith(value.removeprefix("sha256:")),
    "intermediate": lambda _paths, every, value: (
        lambda image: is_intermediate(image, every) == _truth("intermediate", value)
    ),
    "label": _label,
    "readonly": lambda _paths, _all, value: lambda image: bool(image.store) == _truth("readonly", value),
    "reference": _reference,
    "since": _since,
    "until": _until,
}
