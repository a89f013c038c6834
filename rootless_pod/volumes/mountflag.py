"""``--mount type=…,source=…,destination=…``: keys with many names. HOT.

Source: podman-run(1) and docker-run(1), --mount.
"""

from __future__ import annotations

from rootless_pod.errors import Refused, Usage
from rootless_pod.oci.mountoptions import PROPAGATION, bind_options, tmpfs_options
from rootless_pod.state.names import check_name
from rootless_pod.volumes import resolve as volumes

_ALIASES = {
    "src": "source",
    "dst": "destination",
    "target": "destination",
    "readonly": "ro",
    "readwrite": "rw",
    "chown": "U",
    "volume-subpath": "subpath",
}
_KINDS = ("bind", "volume", "tmpfs", "ramfs", "devpts", "glob", "image")
_FLAGS = frozenset(
    [
        "ro",
        "rw",
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "U",
        "nocopy",
        "copy",
        "O",
        "idmap",
        "tmpcopyup",
        "notmpcopyup",
    ]
)
_BIND_KEYS = ("bind-propagation", "bind-nonrecursive", "relabel", "consistency", "z", "Z", *PROPAGATION)
_OWN_KEYS = {
    "bind": _BIND_KEYS,
    "glob": _BIND_KEYS,
    "volume": ("volume-nocopy", "volume-opt", "subpath", "consistency"),
    "image": (),
    "tmpfs": ("tmpfs-size", "tmpfs-mode", "size", "mode", "uid", "gid", "consistency"),
    "ramfs": ("mode", "size"),
    "devpts": ("uid", "gid", "mode", "max"),
}


def parse(text: str) -> volumes.MountRequest:
    """Parse one ``--mount``.

    Raises:
        Usage: unknown kind or key, a key twice, no destination.
        Refused: a kind that is not there (``artifact``), or volume options rpod can't follow.
    """
    where = f"--mount {text}"
    values = _split(text, where)
    kind = values.pop("type", "volume")
    if kind == "artifact":
        raise Refused(
            f"{where}: mounts of type {kind} are not supported",
            remedy="extract it: rpod artifact extract, and bind that",
        )
    if kind not in _KINDS:
        raise Usage(f"invalid filesystem type {kind!r}", remedy=f"use {', '.join(_KINDS)}")
    source, destination = values.pop("source", ""), values.pop("destination", "")
    target = volumes.check_target(destination, where) if destination else ""
    if not target and kind != "glob":
        raise Usage(f"{where}: must set volume destination")
    for key in values:
        if key not in _FLAGS and key not in _OWN_KEYS[kind]:
            raise Usage(f"{where}: {key}: invalid mount option for type {kind}")
    if kind == "image":
        return _image(source, target, values, where)
    if kind in ("tmpfs", "ramfs", "devpts"):
        return _made(kind, source, target, values, where)
    return _bound(kind, source, target, values, where)


def _split(text: str, where: str) -> dict[str, str]:
    """Split at commas outside of double quotes; a bare flag has the value ``true``."""
    values: dict[str, str] = {}
    for field in _fields(text):
        key, separator, value = field.partition("=")
        key = _ALIASES.get(key, key)
        if key in values:
            raise Usage(f"{where}: cannot pass {key!r} option more than once")
        values[key] = value if separator else "true"
    for key in _FLAGS & values.keys():
        if values[key].lower() not in ("true", "false", "1", "0"):
            if key == "idmap":
                continue
            raise Usage(f"{where}: {key}={values[key]!r} is not a truth value")
    return values


def _fields(text: str) -> list[str]:
    fields, current, quoted = [], "", False
    for letter in text:
        if letter == '"':
            quoted = not quoted
        elif letter == "," and not quoted:
            fields.append(current)
            current = ""
        else:
            current += letter
    return [field for field in (*fields, current) if field]


def _words(values: dict[str, str]) -> list[str]:
    """Return the flags as ``-v`` would have them; ``ro=false`` is ``rw``."""
    words = []
    for key, value in values.items():
        if key not in _FLAGS or key in ("tmpcopyup", "notmpcopyup"):
            continue
        if value.lower() in ("true", "1"):
            words.append(key)
        elif key == "ro":
            words.append("rw")
        elif key == "idmap" and value.lower() not in ("false", "0"):
            words.append(f"idmap={value}")
    return words


def _image(source: str, target: str, values: dict[str, str], where: str) -> volumes.MountRequest:
    """Make the mount of an image: read-only unless ``rw=true``, where the writes go away with the container."""
    if not source:
        raise Usage(f"{where}: must set a source for a mount of type image")
    if values.keys() - {"ro", "rw"}:
        raise Usage(f"{where}: a mount of type image takes source, destination and rw")
    writable = values.get("rw", "false").lower() in ("true", "1") or values.get("ro", "true").lower() in ("false", "0")
    options = bind_options(["rw" if writable else "ro"], where)
    return volumes.MountRequest(kind="image", source=source, target=target, options=options, where=where)


def _bound(kind: str, source: str, target: str, values: dict[str, str], where: str) -> volumes.MountRequest:
    if kind == "volume" and source:
        if "/" in source:
            raise Usage(f"{where}: {source!r} is a path, not a volume's name", remedy="add type=bind to mount a path")
        check_name(source)
    elif kind != "volume" and not source:
        raise Usage(f"{where}: must set a source for a mount of type {kind}")
    words = _words(values)
    propagation = values.get("bind-propagation")
    if propagation is not None:
        if propagation not in PROPAGATION:
            raise Usage(f"{where}: invalid bind-propagation {propagation!r}")
        words.append(propagation)
    words += [key for key in values if key in PROPAGATION]
    if values.get("bind-nonrecursive", "false").lower() in ("true", "1"):
        words.append("bind")
    if values.get("relabel", "shared") not in ("shared", "private"):
        raise Usage(f"{where}: relabel must be shared or private")
    if values.get("volume-nocopy", "false").lower() in ("true", "1"):
        words.append("nocopy")
    if "volume-opt" in values:
        raise Refused(
            f"{where}: volume options need a driver, and rpod's volumes are plain directories",
            remedy="leave out volume-opt",
        )
    request = volumes.with_options("bind" if kind == "glob" else kind, source, target, words, where)
    return request.replace(kind=kind, subpath=values.get("subpath", ""))


def _made(kind: str, source: str, target: str, values: dict[str, str], where: str) -> volumes.MountRequest:
    if source:
        raise Usage(f"{where}: a mount of type {kind} has no source")
    words = [word for word in _words(values) if word != "U"]
    chown = values.get("U", "false").lower() in ("true", "1")
    for key in ("size", "mode", "uid", "gid", "max"):
        value = values.get(f"tmpfs-{key}", values.get(key))
        if value is not None:
            words.append(f"{key}={value}")
    if kind == "devpts":
        options = tuple(word for word in words if "=" in word)
        return volumes.MountRequest(
            kind=kind,
            target=target,
            options=("rprivate", "nosuid", "noexec", "newinstance", "ptmxmode=0666", *options),
            where=where,
        )
    if values.get("notmpcopyup", "false").lower() in ("true", "1") or kind == "ramfs":
        words.append("notmpcopyup")
    return volumes.MountRequest(kind=kind, target=target, options=tmpfs_options(words, where), chown=chown, where=where)
