"""A runtime-spec seccomp profile as the BPF program the kernel takes, by libseccomp (which crun is linked with too).

crun translates the profile anew for each container and each exec, which takes 15 ms; a program compiled once and
handed to it takes none. Source: seccomp_init(3) and its family; runtime-spec config-linux.md, "Seccomp".
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIBRARY = "libseccomp.so.2"
_KILL_PROCESS, _KILL_THREAD = 0x80000000, 0x00000000
_TRAP, _ERRNO, _TRACE, _LOG, _ALLOW = 0x00030000, 0x00050000, 0x7FF00000, 0x7FFC0000, 0x7FFF0000
_ACTIONS = {
    "SCMP_ACT_KILL": _KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": _KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": _KILL_PROCESS,
    "SCMP_ACT_TRAP": _TRAP,
    "SCMP_ACT_ERRNO": _ERRNO,
    "SCMP_ACT_TRACE": _TRACE,
    "SCMP_ACT_LOG": _LOG,
    "SCMP_ACT_ALLOW": _ALLOW,
}
_OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
_NO_SUCH_SYSCALL = -1
_EEXIST = 17
_EPERM = 1

KILL_EVERYTHING = bytes([0x06, 0, 0, 0, 0, 0, 0, 0x80])
"""A program of one instruction (``BPF_RET | BPF_K``, SECCOMP_RET_KILL_PROCESS), to find out whether one is obeyed."""


class Untranslatable(Exception):
    """The profile has a part this module does not translate, or libseccomp is not here: the runtime shall do it."""


class _Compare(ctypes.Structure):
    """``struct scmp_arg_cmp`` of seccomp.h."""

    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    ]


def compile_profile(profile: dict[str, Any]) -> bytes:
    """Return the BPF program (``struct sock_filter``s, native byte order) of ``linux.seccomp``.

    Raises:
        Untranslatable: see the class; nothing is lost, the profile works as JSON.
    """
    if set(profile) - {"defaultAction", "defaultErrnoRet", "architectures", "syscalls", "flags"} or profile.get(
        "flags"
    ):
        raise Untranslatable("a field that is not known here")
    library = _open()
    default = _action(profile.get("defaultAction"), profile.get("defaultErrnoRet"))
    context = library.seccomp_init(ctypes.c_uint32(default))
    if not context:
        raise Untranslatable("libseccomp refuses the default action")
    context = ctypes.c_void_p(context)
    try:
        for name in profile.get("architectures") or ():
            token = library.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode())
            code = library.seccomp_arch_add(context, ctypes.c_uint32(token)) if token else -1
            if code not in (0, -_EEXIST):
                raise Untranslatable(f"architecture {name}")
        for rule in profile.get("syscalls") or ():
            _add_rule(library, context, rule, default)
        return _exported(library, context)
    finally:
        library.seccomp_release(context)


def _open() -> Any:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as cause:
        raise Untranslatable(f"{LIBRARY} is not here") from cause
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    return library


def _action(name: Any, errno_value: Any) -> int:
    if name not in _ACTIONS:
        raise Untranslatable(f"action {name}")
    action = _ACTIONS[name]
    if action in (_ERRNO, _TRACE):
        action |= (_EPERM if errno_value is None else int(errno_value)) & 0xFFFF
    return action


def _add_rule(library: Any, context: ctypes.c_void_p, rule: dict[str, Any], default: int) -> None:
    """Add the rule for each of its names; several conditions on one argument mean either, on different ones all."""
    action = _action(rule.get("action"), rule.get("errnoRet"))
    if action == default:
        return
    conditions = [_condition(entry) for entry in rule.get("args") or ()]
    indices = [condition.arg for condition in conditions]
    groups = [conditions] if len(set(indices)) == len(indices) else [[condition] for condition in conditions]
    for name in rule.get("names") or ():
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _NO_SUCH_SYSCALL:
            continue
        for group in groups:
            array = (_Compare * max(1, len(group)))(*group)
            code = library.seccomp_rule_add_array(
                context, ctypes.c_uint32(action), ctypes.c_int(number), ctypes.c_uint(len(group)), array
            )
            if code not in (0, -_EEXIST):
                raise Untranslatable(f"{name}: libseccomp says {os.strerror(-code)}")


def _condition(entry: dict[str, Any]) -> _Compare:
    operator = entry.get("op")
    if operator not in _OPERATORS:
        raise Untranslatable(f"operator {operator}")
    return _Compare(int(entry["index"]), _OPERATORS[operator], int(entry["value"]), int(entry.get("valueTwo") or 0))


def _exported(library: Any, context: ctypes.c_void_p) -> bytes:
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        if library.seccomp_export_bpf(context, ctypes.c_int(fd)) != 0:
            raise Untranslatable("libseccomp can't export the program")
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)
