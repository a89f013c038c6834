"""One file of the Container Device Interface: read, checked, and taken apart. Imported only where a device is wanted.

Nothing is taken on trust: names, types and paths are checked, an unknown field is refused, since an edit that is left
out is a device that fails later. Source: the CDI specification, versions 0.3.0 to 1.1.0.
"""

from __future__ import annotations

import os
import re
import stat

from rootless_pod.errors import Corrupt, HostUnready
from rootless_pod.frozen import Frozen
from rootless_pod.oci.document import Document
from rootless_pod.spec.hooks import STAGES, Hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSIONS = ("0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0")
_LARGEST_BYTES = 8 << 20
_KIND = re.compile(r"[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?/[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_DEVICE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?")
_SPEC = frozenset(("cdiVersion", "kind", "annotations", "devices", "containerEdits"))
_EDITS = frozenset(("env", "deviceNodes", "netDevices", "mounts", "hooks", "intelRdt", "additionalGids"))
_NODE = frozenset(("path", "hostPath", "type", "major", "minor", "fileMode", "permissions", "uid", "gid"))
_TYPES = ("b", "c", "u", "p")
_LARGEST_ID = (1 << 32) - 2


class Node(Frozen):
    """A device node: ``kind`` ("b", "c", "u", "p" or "") and the numbers (-1: not said) are what it has to be."""

    host_path: str
    path: str
    kind: str = ""
    major: int = -1
    minor: int = -1
    permissions: str = "rwm"


class Mount(Frozen):
    """A mount as the file has it; ``where`` names it in errors."""

    host_path: str
    path: str
    kind: str
    options: tuple[str, ...]
    where: str


class Edits(Frozen):
    """What a device changes in a container."""

    env: tuple[str, ...] = ()
    nodes: tuple[Node, ...] = ()
    mounts: tuple[Mount, ...] = ()
    hooks: tuple[Hook, ...] = ()
    group_ids: tuple[int, ...] = ()
    unmet: tuple[str, ...] = ()  # what no user may do, in words

    def joined(self, other: Edits) -> Edits:
        """Return these and then those of ``other``."""
        return Edits(**{name: (*getattr(self, name), *getattr(other, name)) for name in self._fields})


class DeviceFile(Frozen):
    """A file with the devices of one kind; ``edits`` are made once for whichever of them is wanted."""

    path: str
    kind: str
    devices: dict[str, Edits]
    edits: Edits


def is_kind(text: str) -> bool:
    """Tell whether ``text`` is ``vendor/class``."""
    return _KIND.fullmatch(text) is not None


def is_device(text: str) -> bool:
    """Tell whether ``text`` can be a device's name within its kind."""
    return _DEVICE.fullmatch(text) is not None


def read_device_file(path: str) -> DeviceFile:
    """Read a file, as YAML or JSON by its name.

    Raises:
        Corrupt: it can't be read or meant; the message names file and field.
        HostUnready: it is YAML, and PyYAML is not installed.
    """
    where = f"CDI file {path}"
    value = _load(path, _read(path, where), where)
    try:
        return _parse(path, Document(value, f"{where}: $"))
    except Corrupt as cause:
        cause.message = cause.message.replace(": $.", ": ").replace(": $ ", ": it ")
        cause.remedy = "have its program make it anew, such as: nvidia-ctk cdi generate --output=FILE"
        raise


def _read(path: str, where: str) -> bytes:
    try:
        # A pipe of that name must not keep us waiting.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Corrupt(f"{where} is not a regular file")
            data = file.read(_LARGEST_BYTES + 1)
    except OSError as cause:
        raise Corrupt(f"{where} can't be read: {cause.strerror}", remedy=f"make {path} readable") from cause
    if len(data) > _LARGEST_BYTES:
        raise Corrupt(f"{where} is larger than {_LARGEST_BYTES >> 20} MiB")
    return data


def _load(path: str, data: bytes, where: str) -> Any:
    if path.endswith(".json"):
        from rootless_pod import jsontext

        try:
            return jsontext.loads(data)
        except (ValueError, RecursionError) as cause:
            raise Corrupt(f"{where} is not JSON: {cause}") from cause
    try:
        import yaml
    except ImportError as cause:
        from rootless_pod.programs.package import how_to_install

        raise HostUnready(
            f"the Python package PyYAML is not installed: {where} can't be read",
            remedy=f"make it JSON: nvidia-ctk cdi generate --format=json --output=FILE; or {how_to_install('PyYAML')}",
        ) from cause
    try:
        return yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except (yaml.YAMLError, ValueError, RecursionError) as cause:
        raise Corrupt(f"{where} is not YAML: {' '.join(str(cause).split())}") from cause


def _parse(path: str, document: Document) -> DeviceFile:
    version = document.text("cdiVersion")
    if version.removeprefix("v") not in VERSIONS:
        raise document.fault("cdiVersion", f"is {version!r}; rpod knows {VERSIONS[0]} to {VERSIONS[-1]}")
    _only(document, _SPEC)
    kind = document.text("kind")
    if not is_kind(kind):
        raise document.fault("kind", f"is not VENDOR/CLASS: {kind!r}")
    devices: dict[str, Edits] = {}
    for one in document.children("devices"):
        _only(one, frozenset(("name", "annotations", "containerEdits")))
        name = one.text("name")
        if not is_device(name):
            raise one.fault("name", f"can't be a device's name: {name!r}")
        if name in devices:
            raise one.fault("name", f"is there twice: {name!r}")
        edits = one.child("containerEdits")
        if edits is None:
            raise one.fault("containerEdits", "is missing")
        devices[name] = _edits(path, edits)
    if not devices:
        raise document.fault("devices", "is empty")
    common = document.child("containerEdits")
    return DeviceFile(path=path, kind=kind, devices=devices, edits=_edits(path, common) if common else Edits())


def _only(document: Document, known: frozenset[str]) -> None:
    unknown = next((name for name in document.plain() if name not in known), None)
    if unknown is not None:
        raise document.fault(str(unknown)[:80], "is not a field that CDI knows")


def _edits(path: str, document: Document) -> Edits:
    _only(document, _EDITS)
    env = _list(document, "env")
    for text in env:
        if text.find("=") < 1:
            raise document.fault("env", f"has {text!r}, which is not NAME=VALUE")
    unmet = []
    if "intelRdt" in document:
        unmet.append(f"{path} asks for a share of the processor's cache (intelRdt), which only root may set")
    if document.children("netDevices"):
        unmet.append(f"{path} asks for a network device of the host (netDevices), which only root may move")
    return Edits(
        env=env,
        nodes=tuple(_node(one) for one in document.children("deviceNodes")),
        mounts=tuple(_mount(one) for one in document.children("mounts")),
        hooks=tuple(_hook(path, one) for one in document.children("hooks")),
        group_ids=_group_ids(document),
        unmet=tuple(unmet),
    )


def _list(document: Document, name: str) -> tuple[str, ...]:
    if isinstance(document.plain().get(name), str):
        raise document.fault(name, "is not a list of strings")
    return document.texts(name) or ()


def _group_ids(document: Document) -> tuple[int, ...]:
    values = document.plain().get("additionalGids")
    if values is None:
        return ()
    if not isinstance(values, list):
        raise document.fault("additionalGids", "is not a list of numbers")
    for one in values:
        if isinstance(one, bool) or not isinstance(one, int) or not 0 <= one <= _LARGEST_ID:
            raise document.fault("additionalGids", "has what is not a group's number")
    return tuple(one for one in values if one)  # 0 says nothing, as in the reference implementation


def _path(document: Document, name: str) -> str:
    path = document.text(name)
    if not path.startswith("/") or ".." in path.split("/"):
        raise document.fault(name, f"is not an absolute path without '..': {path!r}" if path else "is missing")
    return path


def _target(document: Document, name: str) -> str:
    path = "/" + "/".join(part for part in _path(document, name).split("/") if part not in ("", "."))
    if path == "/":
        raise document.fault(name, "can't be the whole root file system")
    return path


def _node(document: Document) -> Node:
    _only(document, _NODE)
    path = _target(document, "path")
    kind, permissions = document.text("type"), document.text("permissions")
    if kind and kind not in _TYPES:
        raise document.fault("type", f"is {kind!r}, which is none of {', '.join(_TYPES)}")
    if set(permissions) - set("rwm"):
        raise document.fault("permissions", f"is {permissions!r}, which is not some of r, w and m")
    for name in ("fileMode", "uid", "gid"):
        if name in document:
            document.integer(name)  # a node that is bound keeps its own
    return Node(
        host_path=_path(document, "hostPath") if document.text("hostPath") else path,
        path=path,
        kind=kind,
        major=document.integer("major") if "major" in document else -1,
        minor=document.integer("minor") if "minor" in document else -1,
        permissions=permissions or "rwm",
    )


def _mount(document: Document) -> Mount:
    _only(document, frozenset(("hostPath", "containerPath", "options", "type")))
    kind = document.text("type") or "bind"
    if kind not in ("bind", "rbind", "none", "tmpfs"):
        raise document.fault("type", f"is {kind!r}; a user may mount bind and tmpfs")
    return Mount(
        host_path="tmpfs" if kind == "tmpfs" else _path(document, "hostPath"),
        path=_target(document, "containerPath"),
        kind="tmpfs" if kind == "tmpfs" else "bind",
        options=_list(document, "options"),
        where=document.where.replace(": $.", ": "),
    )


def _hook(path: str, document: Document) -> Hook:
    _only(document, frozenset(("hookName", "path", "args", "env", "timeout")))
    stage = document.text("hookName")
    if stage not in STAGES:
        raise document.fault("hookName", f"is {stage!r}, which is none of {', '.join(STAGES)}")
    timeout = document.integer("timeout") if "timeout" in document else None
    if timeout == 0:
        raise document.fault("timeout", "is not a number of seconds above 0")
    env = _list(document, "env")
    for text in env:
        if text.find("=") < 1:
            raise document.fault("env", f"has {text!r}, which is not NAME=VALUE")
    return Hook(
        file=path,
        path=_path(document, "path"),
        args=_list(document, "args"),
        env=env,
        timeout_seconds=timeout,
        always=True,
        stages=(stage,),
    )
