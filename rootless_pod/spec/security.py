"""Capabilities, seccomp, masked paths: what the process may not do. HOT.

Source: podman 4.3.1 (probed) for the default set and the rules for users other than root.
"""

from __future__ import annotations

from rootless_pod.errors import Refused, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.linux.capabilities import NAMES, names_of
from rootless_pod.spec import seccomp
from rootless_pod.spec.quantities import parse_bool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless_pod.spec.host import HostFacts
    from rootless_pod.spec.request import SpecRequest

DEFAULT_CAPABILITIES = tuple(
    f"CAP_{word}"
    for word in (
        [
            "CHOWN",
            "DAC_OVERRIDE",
            "FOWNER",
            "FSETID",
            "KILL",
            "NET_BIND_SERVICE",
            "SETFCAP",
            "SETGID",
            "SETPCAP",
            "SETUID",
            "SYS_CHROOT",
        ]
    )
)
MASKED_PATHS = (
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/dev/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
)
READONLY_PATHS = (
    "/proc/asound",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)


class SecurityOptions(Frozen):
    """``--security-opt``, parsed."""

    no_new_privileges: bool = False
    seccomp: str = ""  # "", "unconfined" or a path
    mask: tuple[str, ...] = ()
    unmask: tuple[str, ...] = ()
    proc_options: tuple[str, ...] = ()


class Capabilities(Frozen):
    """The sets of the runtime-spec; inheritable always equals ambient."""

    bounding: tuple[str, ...]
    effective: tuple[str, ...]
    permitted: tuple[str, ...]
    ambient: tuple[str, ...]

    def to_json(self) -> dict[str, list[str]]:
        """Return the sets as the runtime-spec writes them (crun wants every key)."""
        return {
            "bounding": list(self.bounding),
            "effective": list(self.effective),
            "permitted": list(self.permitted),
            "inheritable": list(self.ambient),
            "ambient": list(self.ambient),
        }


def parse_security(options: Sequence[str], host: HostFacts) -> SecurityOptions:
    """Parse every ``--security-opt``.

    Raises:
        Usage: unknown option.
        Refused: an AppArmor profile or an SELinux label, which rpod does not set.
    """
    no_new_privileges, profile = False, ""
    mask: list[str] = []
    unmask: list[str] = []
    proc_options: list[str] = []
    for option in options:
        key, value = _split(option)
        if key == "no-new-privileges":
            no_new_privileges = parse_bool(value or "true", "--security-opt no-new-privileges")
        elif key == "seccomp" and value:
            profile = value
        elif key == "mask" and value:
            mask += _paths(value, option)
        elif key == "unmask" and value:
            unmask += ["ALL"] if value.upper() == "ALL" else _paths(value, option)
        elif key == "systempaths" and value == "unconfined":
            unmask.append("ALL")
        elif key == "proc-opts" and value:
            proc_options += value.split(",")
        else:
            _check_label(key, value, option, host)
    return SecurityOptions(
        no_new_privileges=no_new_privileges,
        seccomp=profile,
        mask=tuple(mask),
        unmask=tuple(unmask),
        proc_options=tuple(proc_options),
    )


def _split(option: str) -> tuple[str, str]:
    """Split at the first ``=``, or at ``:`` as Docker once wrote it."""
    separator = "=" if "=" in option else ":"
    key, _, value = option.partition(separator)
    return key, value


def _check_label(key: str, value: str, option: str, host: HostFacts) -> None:
    """Accept the options that ask for nothing, refuse those that would need an LSM."""
    if (key, value) in (("label", "disable"), ("label", "nested"), ("apparmor", "unconfined")):
        return
    if key == "apparmor" and value:
        state = "is on" if host.apparmor else "is off on this machine"
        raise Refused(
            f"cannot set the AppArmor profile {value!r}: AppArmor {state}, and only root may choose a profile",
            remedy="use --security-opt apparmor=unconfined",
        )
    if key == "label" and value:
        state = "is on" if host.selinux else "is off on this machine"
        raise Refused(
            f"cannot set the SELinux label {value!r}: SELinux {state}, and rpod does not label containers",
            remedy="use --security-opt label=disable",
        )
    raise Usage(
        f"invalid --security-opt: {option!r}",
        remedy="use no-new-privileges, seccomp=, mask=, unmask=, proc-opts=, label=disable or apparmor=unconfined",
    )


def _paths(value: str, option: str) -> list[str]:
    paths = value.split(":")
    for path in paths:
        if not path.startswith("/"):
            raise Usage(f"--security-opt {option!r}: {path!r} is not an absolute path")
    return [path.rstrip("/") or "/" for path in paths]


def parse_capability(name: str, option: str) -> str:
    """Return the full name: ``net_admin`` and ``CAP_NET_ADMIN`` are one.

    Raises:
        Usage: there is no such capability.
    """
    full = name.upper()
    if not full.startswith("CAP_"):
        full = f"CAP_{full}"
    if full not in NAMES:
        raise Usage(f"{option}: {full!r}: unknown capability", remedy="see capabilities(7) for the names")
    return full


def choose_capabilities(request: SpecRequest, uid: int, host: HostFacts) -> Capabilities:
    """Return the five sets.

    Root has all it is bounded to. Another user has none but what ``--cap-add`` gives it (as ambient ones, so that
    an exec keeps them).

    Raises:
        Usage: an unknown name, or one both added and dropped.
        Refused: one that this process does not have itself.
    """
    add = _names(request.cap_add, "--cap-add")
    drop = _names(request.cap_drop, "--cap-drop")
    both = sorted((add & drop) - {"ALL"})
    if both:
        raise Usage(f"capability {both[0]!r} cannot be dropped and added")
    available = frozenset(names_of(host.capability_bits))
    missing = sorted(add - available - {"ALL"})
    if missing:
        raise Refused(f"cannot add {missing[0]}: you don't have it yourself, it is not in your bounding set")
    base = available if request.privileged or "ALL" in add else available.intersection(_defaults(request))
    bounding = ((frozenset() if "ALL" in drop else base - drop) | add) - {"ALL"}
    if uid == 0:
        full = tuple(sorted(bounding))
        return Capabilities(bounding=full, effective=full, permitted=full, ambient=())
    given = tuple(sorted(bounding if "ALL" in add else add))
    return Capabilities(bounding=tuple(sorted(bounding)), effective=given, permitted=given, ambient=given)


def _defaults(request: SpecRequest) -> tuple[str, ...] | set[str]:
    if not request.default_capabilities:
        return DEFAULT_CAPABILITIES
    return _names(request.default_capabilities, "containers.conf: default_capabilities")


def _names(texts: Sequence[str], option: str) -> set[str]:
    names: set[str] = set()
    for text in texts:
        for word in filter(None, text.split(",")):
            names.add("ALL" if word.upper() in ("ALL", "CAP_ALL") else parse_capability(word, option))
    return names


def choose_seccomp(
    options: SecurityOptions, host: HostFacts, capabilities: Capabilities, *, privileged: bool, carried: str = ""
) -> tuple[str, str]:
    """Return the JSON text of ``linux.seccomp`` ("" for no filter) and the name of the profile.

    ``carried`` is the profile that the image brings along, where it is to be used.
    """
    if carried and not options.seccomp:
        return seccomp.text_profile(carried, host.machine, capabilities.bounding, "of the image"), "image"
    if options.seccomp == "unconfined" or (privileged and not options.seccomp):
        return "", "unconfined"
    if options.seccomp:
        return seccomp.file_profile(options.seccomp, host.machine, capabilities.bounding), options.seccomp
    text = seccomp.default_profile(host.machine, capabilities.bounding)
    return text, "default" if text else f"none for {host.machine}"


def choose_paths(
    options: SecurityOptions, *, privileged: bool, bound_sys: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return masked and read-only paths. ``bound_sys``: /sys is the host's, so its kernel part is hidden as well."""
    if privileged:
        return options.mask, ()
    masked = (*(("/sys/kernel",) if bound_sys else ()), *MASKED_PATHS)
    if "ALL" in options.unmask:
        return options.mask, ()
    if options.unmask:
        masked = tuple(path for path in masked if not _matches(path, options.unmask))
        readonly = tuple(path for path in READONLY_PATHS if not _matches(path, options.unmask))
    else:
        readonly = READONLY_PATHS
    return (*masked, *(path for path in options.mask if path not in masked)), readonly


def _matches(path: str, patterns: Sequence[str]) -> bool:
    from fnmatch import fnmatchcase

    return any(fnmatchcase(path, pattern) for pattern in patterns)
