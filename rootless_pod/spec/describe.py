"""``rpod run --dry-run``: the spec in plain lines."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.spec.generate import Spec

_NAMESPACES = ("user", "pid", "network", "ipc", "uts", "cgroup", "mount")
_SHARED = {"user": "yours"}


def describe(spec: Spec) -> list[str]:
    """Return what the container will be: one fact a line, ``what: value``."""
    config = spec.config
    process, linux = config["process"], config["linux"]
    lines = [
        f"command: {_quoted(process['args'])}",
        f"directory: {process['cwd']}",
        f"user: {_user(spec)}",
        f"terminal: {'yes' if process['terminal'] else 'no'}",
        f"hostname: {config.get('hostname', 'that of the namespace it shares')}",
        *(f"environment: {text}" for text in process["env"]),
        *_namespaces(linux),
        *_mappings(linux, spec),
        f"root file system: {config['root']['path']} ({'read-only' if config['root']['readonly'] else 'read-write'})",
        *(_mount(mount) for mount in config["mounts"]),
        f"capabilities: {_names(process['capabilities']['effective'])}",
        f"may get at most: {_names(process['capabilities']['bounding'])}",
        f"seccomp profile: {spec.seccomp_name}",
        f"no new privileges: {'yes' if process['noNewPrivileges'] else 'no'}",
        f"masked: {' '.join(linux['maskedPaths']) or 'nothing'}",
        f"read-only: {' '.join(linux['readonlyPaths']) or 'nothing'}",
        *(f"limit: {limit['type'][7:].lower()}={_limit(limit)}" for limit in process["rlimits"]),
        *(f"sysctl: {key}={value}" for key, value in linux["sysctl"].items()),
        *_resources(linux["resources"]),
    ]
    lines += [f"made in the root file system: directory {path}" for path, _owner in spec.directories]
    lines += [f"added in the root file system: {path}: {line}" for path, line in spec.appends]
    crun = f"only crun can run it: {spec.needs_crun}" if spec.needs_crun else ""
    lines += [f"note: {note}" for note in (*spec.notes, crun) if note]
    return lines


def _quoted(words: list[str]) -> str:
    from shlex import join

    return join(words)


def _user(spec: Spec) -> str:
    user = spec.user
    groups = spec.config["process"]["user"].get("additionalGids")
    named = f"{user.uid}:{user.gid}" + (f" ({user.name})" if user.name else "")
    return named + (f", groups {' '.join(map(str, groups))}" if groups else "")


def _namespaces(linux: dict[str, Any]) -> list[str]:
    own = {entry["type"]: entry.get("path", "") for entry in linux["namespaces"]}
    return [
        f"namespace {kind}: {(own[kind] or 'new') if kind in own else _SHARED.get(kind, 'that of the host')}"
        for kind in _NAMESPACES
    ]


def _mappings(linux: dict[str, Any], spec: Spec) -> list[str]:
    lines = []
    for kind, key in (("uid", "uidMappings"), ("gid", "gidMappings")):
        for entry in linux.get(key, ()):
            first, inner, size = entry["containerID"], entry["hostID"], entry["size"]
            lines.append(f"{kind} map: {_span(first, size)} in the container is {_span(inner, size)} of your ids")
    if spec.shift is not None:
        lines.append("files of the image: shown under the mapped ids, without copying")
    return lines


def _span(first: int, size: int) -> str:
    return str(first) if size == 1 else f"{first}-{first + size - 1}"


def _mount(mount: dict[str, Any]) -> str:
    return f"mount: {mount['destination']} from {mount['source']} ({mount['type']}: {','.join(mount['options'])})"


def _names(capabilities: list[str]) -> str:
    return " ".join(name[4:].lower() for name in capabilities) or "none"


def _limit(limit: dict[str, Any]) -> str:
    soft, hard = ("unlimited" if limit[key] == (1 << 64) - 1 else str(limit[key]) for key in ("soft", "hard"))
    return f"{soft}:{hard}"


def _resources(resources: dict[str, Any]) -> list[str]:
    return [
        f"cgroup: {section}.{key}={value}" for section, values in resources.items() for key, value in values.items()
    ]
