"""The default seccomp profile, resolved for one machine and one set of capabilities. HOT.

``seccomp_default.json`` is compact data; what the runtime wants is a page of JSON. For the default capabilities
that page lies beside it, written by ``python -m rootless_pod.spec.seccomp`` (a test holds both equal), so that
a run only copies bytes. Source: the default profile of containers/common (data), runtime-spec config-linux.md.
"""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import Corrupt, NotFound, Usage
from rootless_pod.linux.procfs import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
_ALLOW = "SCMP_ACT_ALLOW"
_ERRNO = "SCMP_ACT_ERRNO"
_EPERM = 1
_EINVAL = 22
_AF_NETLINK = 16
_NETLINK_AUDIT = 9
_MEND = "correct the file, or leave it out for the default profile"

COMPILED_MACHINES = ("x86_64", "aarch64")

GATING_CAPABILITIES = frozenset(
    [
        "CAP_DAC_READ_SEARCH",
        "CAP_SYS_ADMIN",
        "CAP_SYS_CHROOT",
        "CAP_SYS_MODULE",
        "CAP_SYS_PACCT",
        "CAP_SYS_PTRACE",
        "CAP_SYS_RAWIO",
        "CAP_SYS_TIME",
        "CAP_SYS_TTY_CONFIG",
        "CAP_AUDIT_WRITE",
    ]
)
"""The capabilities that change the profile: any other set of them needs no new text."""

_COMPILED_FOR = frozenset({"CAP_SYS_CHROOT"})


def default_profile(machine: str, capabilities: tuple[str, ...]) -> str:
    """Return the JSON text of ``linux.seccomp`` for a container that may have ``capabilities`` (its bounding set).

    Returns "" on a machine the profile has no data for: no filter is better than a wrong one.
    """
    if machine in COMPILED_MACHINES and GATING_CAPABILITIES.intersection(capabilities) == _COMPILED_FOR:
        try:
            return read_text(_compiled_path(machine))
        except OSError:
            pass
    data = jsontext.loads(read_text(f"{_HERE}/seccomp_default.json"))
    if machine not in data["architectures"]:
        return ""
    return jsontext.dumps(resolve(data, machine, capabilities))


def _compiled_path(machine: str) -> str:
    return f"{_HERE}/seccomp_default.{machine}.json"


def resolve(data: dict[str, Any], machine: str, capabilities: tuple[str, ...]) -> dict[str, Any]:
    """Turn the compact data into the runtime-spec's form."""
    allowed = " ".join(data["allow"]).split() + data["on_architecture"].get(machine, "").split()
    refused = " ".join(data["refuse"]).split()
    for capability, names in data["with_capability"].items():
        (allowed if capability in capabilities else refused).extend(names.split())
    rules: list[dict[str, Any]] = [
        {"names": sorted(set(refused).difference(allowed)), "action": _ERRNO, "errnoRet": _EPERM},
        {"names": sorted(allowed), "action": _ALLOW},
    ]
    rules += [_rule("personality", _ALLOW, (0, value, "SCMP_CMP_EQ")) for value in data["personalities"]]
    rules += _socket_rules(may_audit="CAP_AUDIT_WRITE" in capabilities)
    return {
        "defaultAction": _ERRNO,
        "defaultErrnoRet": data["default_errno"],
        "architectures": data["architectures"][machine],
        "syscalls": rules,
    }


def _rule(name: str, action: str, *arguments: tuple[int, int, str], errno: int | None = None) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": [name], "action": action}
    if errno is not None:
        rule["errnoRet"] = errno
    rule["args"] = [{"index": index, "value": value, "op": operator} for index, value, operator in arguments]
    return rule


def _socket_rules(*, may_audit: bool) -> list[dict[str, Any]]:
    """Audit sockets answer EINVAL without CAP_AUDIT_WRITE: PAM and sshd take that as "no audit in this kernel"."""
    if may_audit:
        return [{"names": ["socket"], "action": _ALLOW}]
    return [
        _rule(
            "socket",
            _ERRNO,
            (0, _AF_NETLINK, "SCMP_CMP_EQ"),
            (2, _NETLINK_AUDIT, "SCMP_CMP_EQ"),
            errno=_EINVAL,
        ),
        _rule("socket", _ALLOW, (0, _AF_NETLINK, "SCMP_CMP_NE")),
        _rule("socket", _ALLOW, (2, _NETLINK_AUDIT, "SCMP_CMP_NE")),
    ]


def file_profile(path: str, machine: str, capabilities: tuple[str, ...]) -> str:
    """Return the JSON text of ``linux.seccomp`` made from a user's profile file (Docker's format).

    Raises:
        NotFound: the file can't be read.
        Corrupt: it is not a seccomp profile.
    """
    try:
        text = read_text(path)
    except OSError as cause:
        raise NotFound(
            f"cannot read the seccomp profile {path}: {cause.strerror}", remedy="leave it out for the default profile"
        ) from cause
    return text_profile(text, machine, capabilities, path)


def text_profile(text: str, machine: str, capabilities: tuple[str, ...], path: str) -> str:
    """Return the JSON text of ``linux.seccomp`` made from a profile in Docker's format; ``path`` names it in errors.

    Raises:
        Corrupt: it is not a seccomp profile.
    """
    try:
        profile = jsontext.loads(text)
    except ValueError as cause:
        raise Corrupt(f"the seccomp profile {path} is not JSON: {cause}", remedy=_MEND) from cause
    if not isinstance(profile, dict) or not isinstance(profile.get("defaultAction"), str):
        raise Corrupt(f"the seccomp profile {path} has no defaultAction", remedy=_MEND)
    from rootless_pod.spec.seccomp_form import misfit

    wrong = misfit(profile)
    if wrong:
        raise Corrupt(f"the seccomp profile {path} is wrong: {wrong} is of another type", remedy=_MEND)
    return jsontext.dumps(resolve_docker(profile, machine, capabilities, path))


_DOCKER_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "x86"}
_SCMP_MACHINES = {
    "x86_64": "SCMP_ARCH_X86_64",
    "aarch64": "SCMP_ARCH_AARCH64",
    "armv7l": "SCMP_ARCH_ARM",
    "i686": "SCMP_ARCH_X86",
    "s390x": "SCMP_ARCH_S390X",
    "ppc64le": "SCMP_ARCH_PPC64LE",
    "riscv64": "SCMP_ARCH_RISCV64",
}


def resolve_docker(profile: dict[str, Any], machine: str, capabilities: tuple[str, ...], path: str) -> dict[str, Any]:
    """Turn a profile in Docker's format (archMap, includes, excludes) into the runtime-spec's form."""
    resolved: dict[str, Any] = {"defaultAction": profile["defaultAction"]}
    for key in ("defaultErrnoRet", "listenerPath", "listenerMetadata", "flags"):
        if profile.get(key) is not None:
            resolved[key] = profile[key]
    own = _SCMP_MACHINES.get(machine, "")
    if profile.get("archMap"):
        resolved["architectures"] = []
        for entry in profile["archMap"]:
            if entry.get("architecture") == own:
                resolved["architectures"] = [own, *(entry.get("subArchitectures") or [])]
    elif profile.get("architectures"):
        resolved["architectures"] = profile["architectures"]
    resolved["syscalls"] = [
        _docker_rule(rule, path)
        for rule in profile.get("syscalls") or []
        if _applies(rule, _DOCKER_MACHINES.get(machine, machine), capabilities)
    ]
    return resolved


def _applies(rule: dict[str, Any], machine: str, capabilities: tuple[str, ...]) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if includes.get("arches") and machine not in includes["arches"]:
        return False
    if not set(includes.get("caps") or ()).issubset(capabilities) or not _kernel_at_least(includes.get("minKernel")):
        return False
    if machine in (excludes.get("arches") or ()):
        return False
    if excludes.get("minKernel") and _kernel_at_least(excludes["minKernel"]):
        return False
    return not set(excludes.get("caps") or ()).intersection(capabilities)


def _kernel_at_least(version: str | None) -> bool:
    if not version:
        return True
    wanted = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    running = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2] if part.isdigit())
    return running >= wanted


def _docker_rule(rule: dict[str, Any], path: str) -> dict[str, Any]:
    names = rule.get("names") or ([rule["name"]] if rule.get("name") else [])
    if not names or not rule.get("action"):
        raise Usage(f"the seccomp profile {path} has a rule without names or action")
    kept: dict[str, Any] = {"names": names, "action": rule["action"]}
    for key in ("errnoRet", "args"):
        if rule.get(key) is not None:
            kept[key] = rule[key]
    return kept


def compile_default(directory: str = _HERE) -> None:
    """Write the texts for the default capabilities into ``directory``."""
    data = jsontext.loads(read_text(f"{_HERE}/seccomp_default.json"))
    for machine in COMPILED_MACHINES:
        text = jsontext.dumps(resolve(data, machine, tuple(_COMPILED_FOR)))
        with open(f"{directory}/{os.path.basename(_compiled_path(machine))}", "w", encoding="ascii") as file:
            file.write(text)


if __name__ == "__main__":
    compile_default()
